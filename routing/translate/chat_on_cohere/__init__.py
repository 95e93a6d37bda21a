"""Chat on Cohere's API, version 2: its thoughts, tool plans and citations, which its compatibility layer leaves out."""

from routing.translate import Framing
from routing.translate.chat_on_cohere.request import request as request
from routing.translate.chat_on_cohere.stream import CohereToChat as CohereToChat
from routing.translate.chat_on_cohere.stream import whole as whole

framing: Framing = "sse"
machine = CohereToChat
