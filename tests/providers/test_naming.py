"""What names say: the names below are such as vendors really use."""

import pytest

from providers.naming import context_of, parameters_of, quality_of, tags_of, tags_of_all

M, B = 10**6, 10**9


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("qwen/qwen3-30b-a3b:free", {"qwen", "qwen3", "30b", "a3b", "free"}),
        ("Qwen/Qwen2.5-7B-Instruct", {"qwen", "qwen2.5", "7b", "instruct"}),
        ("anthropic/claude-3-5-sonnet@20240620", {"anthropic", "claude", "3", "5", "sonnet", "20240620"}),
        ("internlm2_5-20b-chat", {"internlm2", "5", "20b", "chat"}),
        ("fast,cheap", {"fast", "cheap"}),
        ("GPT-4o", {"gpt", "4o"}),
        ("--/::", set()),
        ("", set()),
    ],
)
def test_tags_are_the_parts_of_a_name_in_lower_case(name: str, tags: set[str]) -> None:
    assert tags_of(name) == tags


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("google/gemma-3-270m-it", 270 * M),
        ("smollm2:135m", 135 * M),
        ("qwen3-0.6b", 600 * M),
        ("deepseek-r1-distill-qwen-1.5b", 1_500 * M),
        ("gemma-3n-e4b-it", 4 * B),
        ("llama-3.1-8b-instant", 8 * B),
        ("Yi-34B-200K", 34 * B),
        ("mistralai/mixtral-8x7b-instruct", 56 * B),
        ("open-mixtral-8x22b", 176 * B),
        ("qwen/qwen3-235b-a22b", 235 * B),
        ("baidu/ERNIE-4.5-300B-A47B", 300 * B),
        ("meta-llama/Llama-3.1-405B-Instruct", 405 * B),
        ("deepseek-v3:670b", 670 * B),
        ("inclusionAI/Ling-1T", 1000 * B),
        ("qwen2.5-7b-instruct-1m", 7 * B),
        ("phi3:14b-medium-128k-instruct-q4_0", 14 * B),
        ("gpt-4o-mini", None),
        ("claude-3-5-haiku-20241022", None),
        ("gemini-1.5-pro-2m", None),
        ("moonshot-v1-128k", None),
        ("hunyuan-a52b", None),
        ("glm-4-plus", None),
        ("whisper-large-v3", None),
    ],
)
def test_the_number_of_parameters_that_a_name_claims(name: str, parameters: int | None) -> None:
    assert parameters_of(name) == parameters


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("moonshot-v1-8k", 8_000),
        ("llama-2-7b-2k", 2_000),
        ("gpt-4-32k-0613", 32_000),
        ("doubao-1.5-pro-256k", 256_000),
        ("microsoft/Phi-3-mini-128K-instruct", 128_000),
        ("glm-4-9b-chat-1m", 1_000_000),
        ("gemini-1.5-pro-2m", 2_000_000),
        ("llama3-70b-8192", 8_192),
        ("mixtral-8x7b-32768", 32_768),
        ("gemma-3-270m", None),
        ("qwen-1k", None),
        ("gpt-4o-2024-08-06", None),
        ("claude-3-opus-20240229", None),
        ("deepseek-chat", None),
    ],
)
def test_the_context_length_that_a_name_claims(name: str, context: int | None) -> None:
    assert context_of(name) == context


@pytest.mark.parametrize(
    ("name", "quality"),
    [
        ("gemma-3-270m", 0.09),
        ("llama-3.2-1b", 0.2),
        ("llama-3.1-8b-instant", 0.38),
        ("llama-3.3-70b-versatile", 0.57),
        ("deepseek-v3:670b", 0.77),
        ("gpt-4.1-nano", 0.3),
        ("gpt-4o-mini", 0.45),
        ("gpt-4o", 0.6),
        ("qwen-plus", 0.7),
        ("gemini-2.5-pro", 0.75),
        ("gemini-2.5-flash-lite", 0.3),
        ("claude-opus-4-1", 0.8),
    ],
)
def test_a_first_score_of_quality(name: str, quality: float) -> None:
    assert quality_of(name) == quality


def test_a_score_stays_between_nothing_and_one_whatever_the_name() -> None:
    assert quality_of("smallest-1m-nano-tiny-lite-mini-small") == 0.05
    assert quality_of("pro-max-opus-ultra-large-plus") == 1.0
    assert quality_of("giant-9999t") == 1.0


@pytest.mark.parametrize(
    ("name", "is_chinese"),
    [
        ("qwen/qwen3-30b-a3b:free", True),
        ("Qwen/Qwen2.5-7B-Instruct", True),
        ("deepseek-ai/DeepSeek-V3", True),
        ("glm-4.5-air", True),
        ("moonshotai/kimi-k2", True),
        ("doubao-1.5-pro-32k", True),
        ("ernie4.5-turbo", True),
        ("01-ai/Yi-34B-Chat", True),
        ("step-2-16k", True),
        ("minimax/minimax-m1", True),
        ("gpt-4o-mini", False),
        ("meta-llama/llama-3.1-8b-instruct", False),
        ("mistral-large-latest", False),
        ("stepwise-7b", False),
    ],
)
def test_families_that_are_made_in_china_are_known(name: str, is_chinese: bool) -> None:
    assert ("chinese" in tags_of_all((name,), ())) == is_chinese


def test_the_tags_of_an_offering_are_those_of_all_its_names_and_the_operators_without_free() -> None:
    found = tags_of_all(("vendor/model-7b:free", "fast"), (" In-House ", "FREE"))

    assert found == {"vendor", "model", "7b", "fast", "in-house"}
