import pytest
from transformers import PreTrainedTokenizerFast

from tests.tokenizers import small_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return small_tokenizer()
