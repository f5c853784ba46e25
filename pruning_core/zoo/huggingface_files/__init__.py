"""Image classifiers as Hugging Face keeps them: config.json, safetensors and preprocessor_config.json.

The classes are those of the package transformers, which may be absent. What a repository says is data: nothing of it
runs, nothing is imported by its words, and nothing is downloaded.
"""
