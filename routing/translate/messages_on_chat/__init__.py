"""Anthropic's Messages on Chat: Claude Code, and whatever else speaks Messages, on every model."""

from routing.translate.messages_on_chat.answer import whole as whole
from routing.translate.messages_on_chat.parameters import PATHS as PATHS
from routing.translate.messages_on_chat.request import request as request
from routing.translate.messages_on_chat.stream import ChatToMessages as ChatToMessages

machine = ChatToMessages
