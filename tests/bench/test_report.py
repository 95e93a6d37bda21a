"""The benchmark's arithmetic and its papers: medians, ratios within the run, and nothing hidden that went wrong."""

from xml.etree import ElementTree

import pytest

from bench import plot, report, split
from bench.load import Held, Paced, Plain
from bench.measure import EVEN_RATES, FULL, QUICK, Measured, Session, decode, encode
from bench.process import Memory


def plain(requests: int, p50_us: float) -> Plain:
    return Plain(requests, 4_000_000, p50_us, p50_us * 3, 0, 0)


def measured(name: str, cpu_s: tuple[float, ...], p50_us: float) -> Measured:
    """A peer that answered 10,000 requests in each of its rounds."""
    return Measured(
        name,
        "forwards",
        "1.0",
        cold_start_s=[0.3, 0.1, 0.2],
        loaded=Memory(60 * 1024, 50 * 1024),
        plain={n: [plain(10_000, p50_us) for _ in cpu_s] for n in (1, 32)},
        plain_cpu_s={n: list(cpu_s) for n in (1, 32)},
        even={rate: [plain(rate * 4, p50_us) for _ in cpu_s] for rate in EVEN_RATES},
        even_cpu_s={rate: [seconds * rate / 4_000 for seconds in cpu_s] for rate in EVEN_RATES},
        paced=[Paced(1_000, seconds / 10, 0, 128, 4.0) for seconds in cpu_s],
        held={1000: Held(1000, 0, Memory(0, 1_000), Memory(0, 31_000)), 5000: Held(700, 0, Memory(0, 1_000), Memory(0, 31_000))},
    )


@pytest.fixture
def session() -> Session:
    direct = Measured("direct", "", plain={n: [plain(90_000, 100.0)] for n in (1, 32)}, plain_cpu_s={1: [0.0], 32: [0.0]})
    peers = [direct, measured("Tollway", (0.9, 1.0, 5.0), 600.0), measured("Envoy", (2.0, 2.0, 2.0), 300.0)]
    peers[1].trouble = ["3 bad answers"]
    return Session("2026-11-22 22:16", {"cpu": "x", "cores": "2"}, FULL, peers, {"LiteLLM": "not installed"})


def test_summary_takes_medians_and_differences(session: Session) -> None:
    """CPU per request and chunk are medians of rounds, latency is what was added to the direct answer."""
    ours = report.summaries(session)[0]
    assert ours.cpu_us_request == pytest.approx(100.0)
    assert ours.cpu_us_even == pytest.approx({2_000: 62.5, 8_000: 62.5})
    assert ours.cpu_us_chunk == pytest.approx(100.0)
    assert ours.added_ms[1, "p50_us"] == pytest.approx(0.5)
    assert ours.added_ms[32, "p99_us"] == pytest.approx(1.5)
    assert ours.cold_start_s == 0.2
    assert (ours.pss_mb, ours.rss_mb) == (50.0, 60.0)
    assert ours.requests_s == 2_500.0


def test_proxy_that_does_not_keep_up_has_no_figure_at_the_same_rate(session: Session) -> None:
    """What it costs at another rate is another figure."""
    session.peers[1].even[8_000] = [plain(31_000, 600.0)] * 3
    assert report.summaries(session)[0].cpu_us_even == {2_000: pytest.approx(62.5), 8_000: None}


def test_memory_of_a_stream_is_known_only_when_all_were_open(session: Session) -> None:
    """A peer that could not open them all gets a dash, not a flattering quotient."""
    assert report.summaries(session)[0].kb_per_stream == {1000: 30.0, 5000: None}


def test_markdown_states_method_and_limits_above_the_numbers(session: Session) -> None:
    """The sentences that limit the claim come first; troubles and absences are named."""
    text = report.write_markdown(session)
    assert text.index("**How.**") < text.index("**Limits.**") < text.index("| proxy |")
    assert "| Tollway | 0.50 × (0.45–2.50) | 0.50 × (0.45–2.50) | 0.50 × (0.45–2.50) | 0.50 × (0.45–2.50) | 1.00 × |" in text
    assert "- Tollway: 3 bad answers" in text
    assert "- LiteLLM: skipped, not installed" in text


def test_markdown_says_whose_the_time_is(session: Session) -> None:
    """Shares times the median; what perf does not tell is not told."""
    assert "there was no perf" in report.write_markdown(session)
    session.peers[1].split = {"chunk": {"kernel": 0.5, "CPython": 0.25}}
    assert "| Tollway | – | kernel 50.0, CPython 25.0 |" in report.write_markdown(session)


def test_shares_of_perf_are_named_and_the_small_ones_are_one() -> None:
    """As `perf report -F overhead,dso -t ';'` prints them."""
    told = "# Overhead;Shared Object\n 60.00% ;[kernel.kallsyms]\n 30.50% ;libpython3.11.so.1.0\n 0.50% ;a.so\n 0.25% ;b.so\n\n"
    assert split.shares_of(told) == pytest.approx({"kernel": 0.6, "CPython": 0.305, "rest": 0.0075})


def test_plot_is_well_formed_and_shows_each_peer(session: Session) -> None:
    """The picture parses as XML and has a bar for each figure of each peer."""
    picture = ElementTree.fromstring(plot.draw(report.summaries(session)))
    bars = [element for element in picture.iter() if element.tag.endswith("rect") and element.get("rx")]
    assert len(bars) == 6 * 2


def test_results_survive_the_round_trip(session: Session) -> None:
    """Raw values are kept whole."""
    assert decode(encode(session)) == session
    assert QUICK.rounds < FULL.rounds
