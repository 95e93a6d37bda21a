"""OpenAI's Responses, stateless, on Chat: Codex, and whatever else speaks Responses, on every model."""

from routing.translate.responses_on_chat.answer import whole as whole
from routing.translate.responses_on_chat.parameters import PATHS as PATHS
from routing.translate.responses_on_chat.request import request as request
from routing.translate.responses_on_chat.stream import ChatToResponses as ChatToResponses

machine = ChatToResponses
