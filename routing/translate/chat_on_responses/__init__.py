"""Chat on OpenAI's Responses: for models that are served in no other way, and to carry encrypted thoughts."""

from routing.translate import Framing
from routing.translate.chat_on_responses.request import request as request
from routing.translate.chat_on_responses.stream import ResponsesToChat as ResponsesToChat
from routing.translate.chat_on_responses.stream import whole as whole

framing: Framing = "sse"
machine = ResponsesToChat
