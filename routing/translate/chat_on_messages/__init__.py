"""Chat on Anthropic's Messages: prompt caching, thinking with its signatures, documents and tools, as Anthropic has them."""

from routing.translate import Context, Framing
from routing.translate.chat_on_messages.answer import whole as whole
from routing.translate.chat_on_messages.request import request as request
from routing.translate.chat_on_messages.stream import MessagesToChat

framing: Framing = "sse"


def machine(context: Context) -> MessagesToChat:
    return MessagesToChat(context)
