"""`scripts/bench`: run a session, print it as Markdown, keep it in bench/out and, with --keep, beside this file."""

import argparse
import resource
import shutil
import sys
from pathlib import Path

import msgspec

from bench import ablations, forwarders, gateways, mock, planning, plot, report, tollway
from bench.measure import FULL, QUICK, encode, run_session
from bench.peer import Peer, install

HERE = Path(__file__).parent
PEERS: dict[str, Peer] = {
    "tollway": tollway.EMBEDDED_PEER,
    "tollway-edge": tollway.EDGE_PEER,
    "tollway-granian": tollway.GRANIAN_PEER,
    "nginx": forwarders.NGINX_PEER,
    "haproxy": forwarders.HAPROXY_PEER,
    "envoy": forwarders.ENVOY_PEER,
    "portkey": gateways.PORTKEY_PEER,
    "litellm": gateways.LITELLM_PEER,
}
RESULTS = ("RESULTS.md", "results.svg", "results.json")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure this proxy beside others, in one session.")
    parser.add_argument("--only", metavar="A,B", default=",".join(PEERS), help=f"which, of {', '.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="one short round, 1,000 open streams: under two minutes")
    parser.add_argument("--install", action="store_true", help="install Envoy, LiteLLM and Portkey into bench/out first")
    parser.add_argument(
        "--ablations", action="store_true", help="what each speed-up with a plain route beside it is worth, instead"
    )
    parser.add_argument("--planning", action="store_true", help="what it costs to find who is asked, instead: half a minute")
    parser.add_argument("--keep", action="store_true", help=f"also write bench/{', bench/'.join(RESULTS)}")
    arguments = parser.parse_args()
    arguments.only = [name.strip() for name in arguments.only.split(",")]
    unknown = [name for name in arguments.only if name not in PEERS]
    if unknown:
        parser.error(f"no peer is called {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    if arguments.planning:
        _weigh_planning(out, keep=arguments.keep)
        return 0
    peers = [PEERS[name] for name in arguments.only]
    lacking = mock.missing() or (None if shutil.which("wrk") else "there is no wrk (Debian: apt install wrk)")
    if lacking:
        print(f"The benchmark cannot run: {lacking}.", file=sys.stderr)
        return 1
    if arguments.ablations:
        _weigh_ablations(out, keep=arguments.keep, quick=arguments.quick)
        return 0
    if arguments.install:
        for peer in peers:
            if peer.missing(out) and peer.installation(out):
                say(f"installing {peer.name}")
                install(peer, out)
    _raise_files()
    session = run_session(peers, out, QUICK if arguments.quick else FULL, say)
    text, picture = report.write_markdown(session), plot.draw(report.summaries(session))
    for folder in [out] + [HERE] * arguments.keep:
        for name, content in zip(RESULTS, (text.encode(), picture.encode(), encode(session)), strict=True):
            (folder / name).write_bytes(content)
    print(text)
    return 0


def _weigh_ablations(out: Path, *, keep: bool, quick: bool) -> None:
    _raise_files()
    rows = ablations.run(out, 2 if quick else 9, 2.0 if quick else 3.0, say)
    text = ablations.report(rows)
    for folder in [out] + [HERE] * keep:
        (folder / "ABLATIONS.md").write_text(text)
        (folder / "ablations.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))
    print(text)


def _weigh_planning(out: Path, *, keep: bool) -> None:
    text = planning.report(planning.measure())
    for folder in [out] + [HERE] * keep:
        (folder / "PLANNING.md").write_text(text)
    print(text)


def _raise_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, mock.FILES_MAX) if most > 0 else mock.FILES_MAX, most))


if __name__ == "__main__":
    sys.exit(main())
