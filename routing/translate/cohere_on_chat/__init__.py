"""Cohere's chat on Chat: Cohere's SDKs, on every model."""

from routing.translate.cohere_on_chat.parameters import PATHS as PATHS
from routing.translate.cohere_on_chat.request import request as request
from routing.translate.cohere_on_chat.stream import ChatToCohere as ChatToCohere
from routing.translate.cohere_on_chat.stream import whole as whole

machine = ChatToCohere
