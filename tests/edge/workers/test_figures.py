"""Expositions of several workers, added up."""

from edge.workers.figures import add_up

ONE = """# HELP tollway_requests_total Requests.
# TYPE tollway_requests_total counter
tollway_requests_total{provider="a"} 3
# TYPE tollway_wait_seconds histogram
tollway_wait_seconds_bucket{le="1.0"} 2
tollway_wait_seconds_sum 0.500000
# TYPE tollway_loop_lag_seconds gauge
tollway_loop_lag_seconds 0.25
# EOF
"""
OTHER = """# HELP tollway_requests_total Requests.
# TYPE tollway_requests_total counter
tollway_requests_total{provider="a"} 4 # {trace_id="x"} 1.0
tollway_requests_total{provider="b c"} 1
# TYPE tollway_wait_seconds histogram
tollway_wait_seconds_bucket{le="1.0"} 1
tollway_wait_seconds_sum 0.250000
# TYPE tollway_loop_lag_seconds gauge
tollway_loop_lag_seconds 0.125
# EOF
"""


def test_figures_are_sums_and_ages_the_largest() -> None:
    """Counters and histograms add up, a lag is the worst one's; a metric's series stay together, and the end is the end."""
    assert add_up([ONE, OTHER]) == (
        "# HELP tollway_requests_total Requests.\n"
        "# TYPE tollway_requests_total counter\n"
        'tollway_requests_total{provider="a"} 7\n'
        'tollway_requests_total{provider="b c"} 1\n'
        "# TYPE tollway_wait_seconds histogram\n"
        'tollway_wait_seconds_bucket{le="1.0"} 3\n'
        "tollway_wait_seconds_sum 0.75\n"
        "# TYPE tollway_loop_lag_seconds gauge\n"
        "tollway_loop_lag_seconds 0.25\n"
        "# EOF\n"
    )


def test_figures_of_one_worker_are_its_own() -> None:
    """Nothing is changed where there is nothing to add, but for the way numbers are spelled."""
    assert add_up([ONE]) == ONE.replace("0.500000", "0.5")
    assert add_up([]) == ""


def test_what_is_left_is_the_smallest_and_what_waits_the_oldest() -> None:
    """A lease that ends, a reload that failed, a record that waits: the worker that is worst off stands for the machine."""
    one = "tollway_lease_life_seconds_min 20\ntollway_config_last_reload_success 1\ntollway_oldest_unshipped_seconds 3\n"
    two = "tollway_lease_life_seconds_min 500\ntollway_config_last_reload_success 0\ntollway_oldest_unshipped_seconds 90\n"
    told = dict(line.split(" ") for line in add_up((one, two)).splitlines())
    assert told == {
        "tollway_lease_life_seconds_min": "20",
        "tollway_config_last_reload_success": "0",
        "tollway_oldest_unshipped_seconds": "90",
    }


def test_what_each_worker_may_have_or_has_lost_adds_up() -> None:
    """A bound is beside the sum of what it bounds, and a loss of one is no smaller for that of another; a silence is one's."""
    one = "tollway_caller_connections_max 100\ntollway_orphans_lost_nano_max 7\ntollway_stream_silence_seconds_max 3\n"
    told = dict(line.split(" ") for line in add_up((one, one)).splitlines())
    assert told == {
        "tollway_caller_connections_max": "200",
        "tollway_orphans_lost_nano_max": "14",
        "tollway_stream_silence_seconds_max": "3",
    }
