"""The usage of a picture as OpenRouter's schema requires it. Source: openapi.yaml, `ImageGenerationUsage`."""

from msgspec import Raw

from routing.wire.members import REFUSED, decode_members, replace


def picture_usage(usage: Raw, prompt: int, completion: int) -> Raw:
    """With the names of Chat beside the provider's; what is no object stays as it is."""
    try:
        members = decode_members(usage)
    except REFUSED:
        return usage
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return Raw(replace(bytes(usage), members, {name: Raw(b"%d" % each) for name, each in counts.items() if name not in members}))
