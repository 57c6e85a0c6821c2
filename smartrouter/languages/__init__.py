"""Worker side. The catalogue of messages: what there is to translate, what is translated, and what is wrong with it.

For those who work on the code; nothing that serves imports it, and Babel and polib are needed for it alone.
"""
