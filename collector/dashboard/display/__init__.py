"""How figures are shown: amounts and times in words, spans of time, charts, the lines of a bill. Values in, text out."""
