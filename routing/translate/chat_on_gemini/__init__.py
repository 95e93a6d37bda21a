"""Chat on Gemini's generateContent: thoughts with their signatures, schemas as they come, media of every kind."""

from routing.translate import Framing
from routing.translate.chat_on_gemini.request import request as request
from routing.translate.chat_on_gemini.stream import GeminiToChat as GeminiToChat
from routing.translate.chat_on_gemini.stream import whole as whole

framing: Framing = "sse"
machine = GeminiToChat
