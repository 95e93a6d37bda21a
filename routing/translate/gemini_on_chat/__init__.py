"""Google's generateContent on Chat: whatever speaks Gemini's API, on every model."""

from routing.translate.gemini_on_chat.parameters import PATHS as PATHS
from routing.translate.gemini_on_chat.request import request as request
from routing.translate.gemini_on_chat.stream import ChatToGemini as ChatToGemini
from routing.translate.gemini_on_chat.stream import whole as whole

machine = ChatToGemini
