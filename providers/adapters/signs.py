"""Hot path. The signs by which a failed answer is known: error codes and texts of OpenAI and of compatible vendors.

Sources: OpenAI's error guide, and recorded answers and error pages of Azure, Anthropic, DashScope, DeepSeek, Gemini, Groq, LM
Studio, Mistral, Moonshot, Ollama, OpenRouter, SiliconFlow, Together, vLLM, Volcengine Ark, xAI and Zhipu (2026-11). A code or
type stands here only where it means the same with every vendor that uses it.
"""

import re
from collections.abc import Mapping

from smartrouter.lib.errors import ErrorClass

KEY, KEY_MODEL, MODEL = ErrorClass.KEY, ErrorClass.KEY_MODEL, ErrorClass.MODEL
CONTEXT, CONTENT, CHANNEL = ErrorClass.CONTEXT, ErrorClass.CONTENT, ErrorClass.CHANNEL
RATE, GARBAGE, REQUEST = ErrorClass.RATE, ErrorClass.GARBAGE, ErrorClass.REQUEST

# Lower case; an error's code or, where that says nothing, its type.
KIND_BY_CODE: Mapping[str, ErrorClass] = {
    **dict.fromkeys(
        (
            "invalid_api_key", "account_deactivated", "billing_not_active", "insufficient_quota",
            "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded", "ip_not_authorized",
            "authentication_error", "billing_error",  # Anthropic, DeepSeek
            "invalid_authentication_error", "incorrect_api_key_error", "exceeded_current_quota_error",  # Moonshot
            "arrearage",  # DashScope
            "authenticationerror", "invalidapikey", "accountoverdueerror", "invalidaccountstatus",  # Volcengine
            "invalidsubscription", "operationdenied.serviceoverdue",
            "30001",  # SiliconFlow: no balance
            "1110", "1111", "1112", "1113", "1121", "1309",  # Zhipu: account locked, arrears, plan over
        ),
        KEY,
    ),
    **dict.fromkeys(
        ("context_length_exceeded", "string_above_max_length", "outofcontexterror", "1261"), CONTEXT
    ),
    **dict.fromkeys(
        (
            "content_policy_violation", "content_filter", "invalid_prompt", "moderation_blocked",
            "data_inspection_failed", "datainspectionfailed", "1301",
        ),
        CONTENT,
    ),
    **dict.fromkeys(
        (
            "model_not_found", "model_decommissioned", "invalid_model", "deploymentnotfound", "unsupportedmodel",
            "modelnotopen", "invalidendpointormodel.notfound", "invalidendpoint.closedendpoint",
            "20012", "30003", "1211", "1221", "1222", "1311",
        ),
        MODEL,
    ),
    # Groq: the model wrote what its own format does not allow; another try may well succeed.
    **dict.fromkeys(("tool_use_failed", "json_validate_failed"), GARBAGE),
    "unsupported_country_region_territory": CHANNEL,
}  # fmt: skip

_ANY = frozenset(range(400, 600))
_ASKED = frozenset((400, 403, 404, 413, 422))


def _sign(
    kind: ErrorClass, statuses: frozenset[int], *texts: str
) -> tuple[ErrorClass, frozenset[int], re.Pattern[str]]:
    return kind, statuses, re.compile("|".join(texts), re.I)


# Looked for before the codes: here the code means something else than with other vendors.
FIRST_TEXTS = (
    # More than the limit for a minute in one request: waiting does not help. Groq says so with 413.
    _sign(REQUEST, frozenset((413, 429)), r"request too large"),
    # DashScope calls its limit of tokens a minute insufficient_quota.
    _sign(RATE, frozenset((429,)), r"allocated quota exceeded, please increase"),
    _sign(KEY_MODEL, _ANY, r"free allocated quota exceeded"),
)
# Looked for after the codes.
TEXTS = (
    _sign(
        KEY,
        frozenset((400, 403, 429)),
        r"credit balance is too low",
        r"organization has been disabled",
        r"insufficient balance|balance is insufficient|overdue balance|余额不足|欠费",
        r"used all available credits|doesn't have any credits",  # xAI
        r"incorrect api key|api key (?:not valid|not found|expired)|reported as leaked",  # xAI, Gemini: 400 or 403
        r"account is in good standing",  # DashScope
    ),
    _sign(
        CONTEXT,
        frozenset((400, 403, 413, 422)),
        r"maximum context length|prompt is too long|is longer than the model's context",
        r"exceed(?:s|ed)? (?:the )?(?:model'?s? )?(?:context|available context|model token) ?(?:limit|size|length)?",
        r"input length .{0,200}exceed|range of input length|input token length too long|length of prompt_tokens",
        r"input tokens exceed the configured limit|exceeds the maximum number of tokens|maximum input length is",
        r"when context overflows|prompt 超长",  # LM Studio, Zhipu
        r"tokens \+ .{0,40}tokens.{0,20} must be <=",  # Together: 403
    ),
    _sign(CONTENT, _ANY, r"considered high risk|flagged by .{0,20}moderation"),
    _sign(MODEL, _ASKED, r"model not exist|model does not exist|try pulling it first|unknown model"),
    # A wrong base URL: OpenAI's own 404, and what FastAPI (vLLM) and its like say for a path that they do not have.
    _sign(
        CHANNEL, frozenset((404, 405)), r"^invalid url|^unknown request url|^not found$|^method not allowed$|no route"
    ),
    _sign(
        CHANNEL, frozenset((400, 403)), r"user location is not supported|country, region, or territory not supported"
    ),
)


def kind_by_code(code: str, etype: str) -> ErrorClass | None:
    """The class that a code means, else a type; None where neither is listed. Both in lower case."""
    found = KIND_BY_CODE.get(code) or KIND_BY_CODE.get(etype)
    if found is None and ("sensitivecontentdetected" in code or "riskdetection" in code):  # Volcengine: 20 codes
        return CONTENT
    return found


def kind_by_text(
    signs: tuple[tuple[ErrorClass, frozenset[int], re.Pattern[str]], ...], status: int, message: str
) -> ErrorClass | None:
    """The class of the first sign that the message shows under this status; None where it shows none."""
    return next((kind for kind, statuses, text in signs if status in statuses and text.search(message)), None)
