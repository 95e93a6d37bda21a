"""A Chat conversation → Gemini's system instruction and contents.

Traps: a thought signature stands on the first of parallel calls and must come back there, else Gemini 3 refuses the request;
the answers of one turn's calls are one content, as many as the calls; a part of text and a call keep their order.
"""

from typing import Final

from msgspec import Raw

from routing.translate.conversation import Part, Turn, decline_thoughts, unmarked_turns_of
from routing.translate.media import Media
from routing.translate.reader import Reader, encode, joined
from routing.translate.thoughts import GEMINI, Detail
from routing.wire.members import REFUSED, decode_members

ANY_SIGNATURE: Final = b'"skip_thought_signature_validator"'
"""Google's documented stand-in for a call that another model made."""


class Contents:
    """`system` are the texts of the system prompt, `out` the contents, as JSON."""

    def __init__(self, reader: Reader, needs_signatures: bool) -> None:
        self._reader = reader
        self._needs_signatures = needs_signatures
        self._names: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._results: dict[str, list[bytes]] = {}
        self.system: list[bytes] = []
        self.out: list[bytes] = []

    def read(self, messages: Raw) -> None:
        for turn in unmarked_turns_of(messages, self._reader):
            if turn.role != "tool":
                self._flush()
            match turn.role:
                case "system":
                    if self.out:
                        # It is said, but at another place.
                        self._reader.decline(f"{turn.path}.role")
                    self.system += [b'{"text":%b}' % text for text in turn.texts]
                case "user":
                    self._say(b"user", [self._part(part) for part in turn.parts])
                case "assistant":
                    self._say(b"model", self._said(turn))
                case "tool":
                    self._results[turn.call_id] = self._result(turn)
        self._flush()

    def _say(self, role: bytes, parts: list[bytes]) -> None:
        if parts:
            self.out.append(b'{"role":"%b","parts":[%b]}' % (role, b",".join(parts)))

    def _flush(self) -> None:
        """The results of a turn's calls, in the order of the calls."""
        if self._results:
            ordered = sorted(self._results, key=self._order.__getitem__)
            self._say(b"user", [part for call_id in ordered for part in self._results[call_id]])
            self._results = {}

    def _said(self, turn: Turn) -> list[bytes]:
        signatures, taken = self._signatures(turn)
        decline_thoughts(turn, self._reader, *taken)
        of_text = signatures.get("", b"")
        parts = [b'{"text":%b}' % text for text in turn.texts]
        if of_text and parts:
            parts[-1] = b'%b,"thoughtSignature":%b}' % (parts[-1][:-1], of_text)
        for number, call in enumerate(turn.calls):
            self._names[call.id] = call.name
            self._order.setdefault(call.id, len(self._order))
            signature = signatures.get(call.id, b"")
            if not signature and number == 0 and not parts and of_text:
                signature = of_text
            elif not signature and number == 0 and self._needs_signatures:
                signature = ANY_SIGNATURE
            signed = b',"thoughtSignature":%b' % signature if signature else b""
            parts.append(b'{"functionCall":{"name":%b,"args":%b}%b}' % (encode(call.name), call.arguments, signed))
        return parts

    def _signatures(self, turn: Turn) -> tuple[dict[str, bytes], list[Detail]]:
        """Id of the call that a signature is of ("" for a text's) → the signature."""
        found: dict[str, bytes] = {}
        taken: list[Detail] = []
        places = {"", *(call.id for call in turn.calls)}
        for detail in turn.details:
            if detail.format == GEMINI and (data := detail.data or detail.signature):
                if (detail.id or "") in places:
                    found[detail.id or ""] = encode(data)
                    taken.append(detail)
            elif detail.format == GEMINI:
                # Its thoughts in words: they are summaries, which it does not take back.
                taken.append(detail)
        return found, taken

    def _result(self, turn: Turn) -> list[bytes]:
        """The answer of a call; what is no text in it stands beside it."""
        text = joined(turn.texts) if turn.texts else b'""'
        response = b'{"%b":%b}' % (b"error" if turn.is_error else b"output", text)
        if not turn.is_error and (given := self._object(text)):
            response = given
        name = encode(self._names[turn.call_id])
        media = [self._part(part) for part in turn.parts if part.media is not None]
        return [b'{"functionResponse":{"name":%b,"response":%b}}' % (name, response), *media]

    def _object(self, literal: bytes) -> bytes:
        """The JSON object that a text is; nothing for any other."""
        text = self._reader.text(Raw(literal), "content").strip()
        if not text.startswith("{"):
            return b""
        try:
            decode_members(text)
        except REFUSED:
            return b""
        return text.encode()

    def _part(self, part: Part) -> bytes:
        return b'{"text":%b}' % part.text if part.media is None else self._media(part.media, part.path)

    def _media(self, media: Media, path: str) -> bytes:
        reader, media = self._reader, media.plain(path, self._reader)
        if not media.mime:
            raise reader.unsupported(
                path, "what it is cannot be told from its address; send the data itself as 'data:TYPE;base64,…'"
            )
        mime = encode(media.mime)
        if not media.url:
            return b'{"inlineData":{"mimeType":%b,"data":%b}}' % (mime, media.data)
        if not reader.target.fetches_urls:
            raise reader.unsupported(path, "it fetches nothing; send the data itself as 'data:…;base64,…'")
        return b'{"fileData":{"fileUri":%b,"mimeType":%b}}' % (media.url, mime)
