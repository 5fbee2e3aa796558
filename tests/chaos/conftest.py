from tests.random_model import random_model  # noqa: F401
