"""What a provider that speaks Chat knows beyond it, or wants otherwise, as far as its name or its model's tells.

Source: the providers' pages; what users of other translators reported (an id that is no nine characters is a 400 at Mistral, a
tool loop without the thoughts that led to it is one at DeepSeek and Moonshot). The table's `traits` go before this.
"""

import re
from typing import Final

from routing.translate import Target

_THINKS_ALOUD: Final = re.compile(r"deepseek|kimi|moonshot")
_SHORT_IDS: Final = re.compile(r"mistral|ministral|magistral|codestral|devstral|pixtral")
_ROUTERS: Final = re.compile(r"openrouter")


def traits_of(target: Target) -> frozenset[str]:
    """The words are those of `routing.translate.HUB`."""
    if target.traits is not None:
        return target.traits
    names = f"{target.provider} {target.model}".lower()
    traits: set[str] = set()
    if _ROUTERS.search(target.provider.lower()):
        traits |= {"cache_control", "reasoning_details", "file_urls"}
    if _THINKS_ALOUD.search(names):
        traits.add("reasoning_content")
    if _SHORT_IDS.search(names):
        traits.add("short_ids")
    return frozenset(traits)
