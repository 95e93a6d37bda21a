"""Failures of providers through a running edge: nobody sees what could have moved on. Long forms: `scripts/soak failover` and
`targets`."""

from tests.soak.failover import AT_ONCE, check_mixed, house_of_failures, mixed, three_targets


def test_failure_that_can_move_on_is_seen_by_nobody() -> None:
    """Each way to fail, mixed, beside one healthy key or target: callers at once over sockets, each served where one could be."""
    with house_of_failures() as house:
        seen, drawn = mixed(house, 1, 160)
        found = check_mixed(house, seen, drawn)
    assert found["moved on"] > 20
    assert found["could not move on"] > 10


def test_failure_of_two_of_three_targets_at_once() -> None:
    """One is killed, one hangs: all streams are answered by the third, few find out, and no later caller is a trial. The patience
    with a first token is one that a slow machine keeps to as well: the third has the same."""
    with three_targets(patience_s=3.0) as house:
        house.fail()
        seen = house.fire("failing", 3 * AT_ONCE)
        found_out = house.asked_two()
        assert all(each.is_whole for each in seen), seen
        assert 0 < len(found_out) <= 2 * AT_ONCE
        later = house.fire("later", 3 * AT_ONCE)
        assert all(each.is_whole for each in later), later
        assert house.asked_two() == found_out
