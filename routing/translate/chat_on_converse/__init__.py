"""Chat on Bedrock's Converse, for models that Bedrock serves in no other way; its stream is framed in AWS' eventstream."""

from routing.translate import Framing
from routing.translate.chat_on_converse.request import request as request
from routing.translate.chat_on_converse.stream import ConverseToChat as ConverseToChat
from routing.translate.chat_on_converse.stream import whole as whole

framing: Framing = "eventstream"
machine = ConverseToChat
