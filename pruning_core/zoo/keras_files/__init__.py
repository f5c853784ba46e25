"""Files of Keras 3 (.keras): a description of layers and their weights, rebuilt from layers of torch.

Keras itself is not needed, and nothing of the file is deserialised into objects: every layer is looked up in a list.
"""
