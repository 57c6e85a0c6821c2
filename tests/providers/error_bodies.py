"""The literal error bodies of OpenAI and of the vendors that are compatible with it, each with its class."""
# ruff: noqa: E501  (one answer a line)

import orjson

from smartrouter.lib.errors import ErrorClass

E = ErrorClass


def openai(message: str, kind: str | None = None, code: object = None, param: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def coded(code: object, message: str, kind: str = "") -> bytes:
    """Volcengine, Azure, Zhipu, DashScope: a code inside the envelope says what it is."""
    return orjson.dumps({"error": {"code": code, "message": message, "param": "", "type": kind}})


def flat(**fields: object) -> bytes:
    """SiliconFlow, Mistral, old vLLM, FastAPI: no envelope."""
    return orjson.dumps(fields)


NO_KEY = (
    "Incorrect API key provided: sk-ab***yz. You can find your API key at https://platform.openai.com/account/api-keys."
)
TPM = "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
LONG = "This model's maximum context length is 128000 tokens. However, your messages resulted in 204308 tokens."
TABLE: dict[str, tuple[int, bytes, ErrorClass]] = {
    # OpenAI
    "wrong key": (401, openai(NO_KEY, "invalid_request_error", "invalid_api_key"), E.KEY),
    "no quota": (429, openai(QUOTA, "insufficient_quota", "insufficient_quota"), E.KEY),
    "no credit": (429, openai(QUOTA, "insufficient_quota", "credit_balance_exhausted"), E.KEY),
    "org limit": (429, openai(QUOTA, "insufficient_quota", "organization_spend_limit_exceeded"), E.KEY),
    "project limit": (429, openai(QUOTA, "insufficient_quota", "project_spend_limit_exceeded"), E.KEY),
    "usage limit": (429, openai(QUOTA, "insufficient_quota", "organization_usage_limit_exceeded"), E.KEY),
    "tpm": (429, openai(TPM, "tokens", "rate_limit_exceeded"), E.RATE),
    "rpm": (429, openai(TPM, "requests", "rate_limit_exceeded"), E.RATE),
    "slow down": (429, openai("Slow down.", "requests", "slow_down"), E.RATE),
    "too large": (429, openai("Request too large for gpt-4o on TPM", "tokens", "rate_limit_exceeded"), E.REQUEST),
    "no model": (404, openai("The model `x` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"), E.MODEL),
    "no model, 400": (400, openai("The requested model 'x' does not exist.", "invalid_request_error", "model_not_found", "model"), E.MODEL),
    "context": (400, openai(LONG, "invalid_request_error", "context_length_exceeded", "messages"), E.CONTEXT),
    "param": (400, openai("Unsupported parameter: 'max_tokens'", "invalid_request_error", "unsupported_parameter", "max_tokens"), E.REQUEST),
    "policy": (400, openai("Your request was rejected", "invalid_request_error", "content_policy_violation"), E.CONTENT),
    "prompt": (400, openai("Invalid prompt: violating our usage policy", "invalid_request_error", "invalid_prompt"), E.CONTENT),
    "deactivated": (401, openai("Deactivated.", "invalid_request_error", "account_deactivated"), E.KEY),
    "country": (403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), E.CHANNEL),
    "billing 429": (429, openai("Billing", "billing_not_active", "billing_not_active"), E.KEY),
    "billing 403": (403, openai("Billing", "billing_not_active", "billing_not_active"), E.KEY),
    "ip": (401, openai("Your IP", "invalid_request_error", "ip_not_authorized"), E.KEY),
    "server": (500, openai("The server had an error while processing your request", "server_error"), E.TRANSIENT),
    "overloaded": (503, openai("The engine is currently overloaded", "server_error"), E.TRANSIENT),
    "wrong path": (404, openai("Invalid URL (POST /chat/completions)", "invalid_request_error"), E.CHANNEL),
    # Azure
    "azure key": (401, coded("401", "Access denied due to invalid subscription key or wrong API endpoint."), E.KEY),
    "azure deployment": (404, coded("DeploymentNotFound", "The API deployment for this resource does not exist."), E.MODEL),
    "azure filter": (400, openai("The response was filtered", None, "content_filter", "prompt"), E.CONTENT),
    "azure rate": (429, coded("429", "Requests have exceeded token rate limit. Please retry after 26 seconds."), E.RATE),
    # Anthropic's and Gemini's own errors, which their compatible addresses show as well
    "anthropic key": (401, flat(type="error", error={"type": "authentication_error", "message": "invalid x-api-key"}), E.KEY),
    "anthropic credit": (400, flat(type="error", error={"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}), E.KEY),
    "anthropic disabled": (400, openai("This organization has been disabled.", "invalid_request_error"), E.KEY),
    "anthropic model": (404, flat(type="error", error={"type": "not_found_error", "message": "model: claude-sonet-4-5"}), E.MODEL),
    "anthropic long": (400, openai("prompt is too long: 345320 tokens > 199999 maximum", "invalid_request_error"), E.CONTEXT),
    "anthropic limit": (400, openai("input length and `max_tokens` exceed context limit: 1 + 2 > 3", "invalid_request_error"), E.CONTEXT),
    "anthropic effort": (400, openai("This model does not support effort level 'xhigh'.", "invalid_request_error"), E.REQUEST),
    "anthropic rate": (429, openai("This request would exceed your organization's rate limit", "rate_limit_error"), E.RATE),
    "anthropic 529": (529, openai("Overloaded", "overloaded_error"), E.RATE),
    "gemini key": (400, b'[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]', E.KEY),
    "gemini expired": (400, coded(400, "API key expired. Please renew the API key."), E.KEY),
    "gemini leaked": (403, coded(403, "Your API key was reported as leaked. Please use another API key."), E.KEY),
    "gemini rate": (429, b'[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.\\nPlease retry in 20.04s.","status":"RESOURCE_EXHAUSTED"}}]', E.RATE),
    "gemini model": (404, coded(404, "models/x is not found for API version v1beta"), E.MODEL),
    "gemini place": (400, coded(400, "User location is not supported for the API use."), E.CHANNEL),
    "gemini busy": (503, coded(503, "The model is overloaded. Please try again later."), E.TRANSIENT),
    # Groq
    "groq 413": (413, openai("Request too large for model `llama` in organization `org_01abc` on tokens per minute (TPM)", "tokens", "rate_limit_exceeded"), E.REQUEST),
    "groq tpd": (429, openai("Rate limit reached (TPD): Limit 100000. Please try again in 9m38.016s.", "tokens", "rate_limit_exceeded"), E.RATE),
    "groq tool": (400, openai("Failed to call a function.", "invalid_request_error", "tool_use_failed"), E.GARBAGE),
    "groq json": (400, openai("Failed to generate JSON.", "invalid_request_error", "json_validate_failed"), E.GARBAGE),
    "groq gone": (400, openai("The model has been decommissioned", "invalid_request_error", "model_decommissioned"), E.MODEL),
    "groq flex": (498, openai("Flex tier capacity exceeded", "invalid_request_error", "capacity_exceeded"), E.TRANSIENT),
    # SiliconFlow
    "sf model": (400, flat(code=20012, message="Model does not exist. Please check it carefully.", data=None), E.MODEL),
    "sf request": (400, flat(code=20015, message="The parameter max_tokens (8192) is invalid", data=None), E.REQUEST),
    "sf long": (400, flat(code=20015, message="length of prompt_tokens (40000) must be less than 32768", data=None), E.CONTEXT),
    "sf balance": (403, flat(code=30001, message="Sorry, your account balance is insufficient", data=None), E.KEY),
    "sf balance, no code": (403, flat(message="Sorry, your account balance is insufficient"), E.KEY),
    "sf disabled": (403, flat(code=30003, message="Model disabled.", data=None), E.MODEL),
    "sf verify": (403, flat(code=30011, message="paid balance / real-name verification required", data=None), E.KEY_MODEL),
    "sf token": (401, b'"Invalid token"', E.KEY),
    "sf rate": (429, flat(message="Request was rejected due to rate limiting. Details: TPM limit reached.", data=None), E.RATE),
    "sf busy": (503, flat(code=50505, message="Model service overloaded. Please try again later.", data=None), E.TRANSIENT),
    # Volcengine Ark
    "ark key": (401, coded("AuthenticationError", "The API key or AK/SK in the request is missing or invalid.", "Unauthorized"), E.KEY),
    "ark overdue": (403, coded("AccountOverdueError", "The request failed because your account has an overdue balance.", "Forbidden"), E.KEY),
    "ark denied": (403, coded("AccessDenied", "You do not have access to the requested resource.", "Forbidden"), E.KEY_MODEL),
    "ark endpoint": (404, coded("InvalidEndpointOrModel.NotFound", "The model or endpoint x does not exist", "NotFound"), E.MODEL),
    "ark closed": (400, coded("InvalidEndpoint.ClosedEndpoint", "The endpoint is closed", "BadRequest"), E.MODEL),
    "ark open": (404, coded("ModelNotOpen", "Your account 2100123456 has not activated the model x.", "NotFound"), E.MODEL),
    "ark param": (400, coded("InvalidParameter", "The parameter `max_tokens` is not valid", "BadRequest"), E.REQUEST),
    "ark context": (400, coded("OutofContextError", "Out of context", "BadRequest"), E.CONTEXT),
    "ark words": (400, coded("InputTextSensitiveContentDetected.PolicyViolation", "May violate", "BadRequest"), E.CONTENT),
    "ark risk": (400, coded("OutputTextRiskDetection", "May violate", "BadRequest"), E.CONTENT),
    "ark rpm": (429, coded("RateLimitExceeded.EndpointRPMExceeded", "RPM exceeded", "TooManyRequests"), E.RATE),
    "ark busy": (429, coded("ServerOverloaded", "overloaded", "TooManyRequests"), E.RATE),
    "ark 500": (500, coded("InternalServiceError", "internal", "InternalServerError"), E.TRANSIENT),
    # DeepSeek
    "ds key": (401, openai("Authentication Fails, Your api key: ****abcd is invalid", "authentication_error", "invalid_request_error"), E.KEY),
    "ds balance": (402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), E.KEY),
    "ds model": (400, openai("Model Not Exist", "invalid_request_error", "invalid_request_error"), E.MODEL),
    "ds context": (400, openai("This model's maximum context length is 131072 tokens.", "invalid_request_error", "invalid_request_error"), E.CONTEXT),
    "ds params": (422, openai("Failed to deserialize", "invalid_request_error", "invalid_request_error"), E.REQUEST),
    # Moonshot
    "kimi risk": (400, openai("The request was rejected because it was considered high risk", "content_filter"), E.CONTENT),
    "kimi long": (400, openai("Input token length too long", "invalid_request_error"), E.CONTEXT),
    "kimi limit": (400, openai("Invalid request: Your request exceeded model token limit : 8192", "invalid_request_error"), E.CONTEXT),
    "kimi empty": (400, openai("text content is empty", "invalid_request_error"), E.REQUEST),
    "kimi auth": (401, openai("Invalid Authentication", "invalid_authentication_error"), E.KEY),
    "kimi key": (401, openai("Incorrect API key provided", "incorrect_api_key_error"), E.KEY),
    "kimi denied": (403, openai("not open", "permission_denied_error"), E.KEY_MODEL),
    "kimi model": (404, openai("Not found the model kimi-x or Permission denied", "resource_not_found_error"), E.MODEL),
    "kimi quota": (429, openai("Your account is suspended, please check your plan", "exceeded_current_quota_error"), E.KEY),
    "kimi busy": (429, openai("The engine is currently overloaded", "engine_overloaded_error"), E.RATE),
    "kimi rate": (429, openai("Your account reached max request: 3, please try again after 1 seconds", "rate_limit_reached_error"), E.RATE),
    # Zhipu
    "glm key": (401, coded("1000", "身份验证失败。"), E.KEY),
    "glm arrears": (429, coded("1113", "余额不足或无可用资源包,请充值。"), E.KEY),
    "glm locked": (429, coded("1112", "账户已被锁定"), E.KEY),
    "glm plan": (429, coded("1309", "plan expired"), E.KEY),
    "glm cap": (429, coded("1308", "已达到使用上限"), E.RATE),
    "glm rate": (429, coded("1302", "您当前使用该API的并发数过高"), E.RATE),
    "glm model": (400, coded("1211", "模型不存在"), E.MODEL),
    "glm long": (400, coded("1261", "Prompt 超长"), E.CONTEXT),
    "glm words": (400, coded("1301", "系统检测到输入或生成内容可能包含不安全或敏感内容"), E.CONTENT),
    "glm param": (400, coded("1214", "messages 参数非法"), E.REQUEST),
    "glm 500": (500, coded("500", "内部错误"), E.TRANSIENT),
    # DashScope
    "qwen arrears": (400, coded("Arrearage", "Access denied, please make sure your account is in good standing.", "Arrearage"), E.KEY),
    "qwen key": (401, openai("Incorrect API key provided. ", "invalid_request_error", "invalid_api_key"), E.KEY),
    "qwen denied": (403, coded("Model.AccessDenied", "Model access denied."), E.KEY_MODEL),
    "qwen free": (403, coded("AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."), E.KEY_MODEL),
    "qwen model": (404, openai("The model `x` does not exist", "invalid_request_error", "model_not_found"), E.MODEL),
    "qwen rate": (429, coded("limit_requests", "You exceeded your current requests list."), E.RATE),
    "qwen tpm": (429, openai("Allocated quota exceeded, please increase your quota limit.", "insufficient_quota", "insufficient_quota"), E.RATE),
    "qwen used up": (429, openai("Free allocated quota exceeded.", "insufficient_quota", "insufficient_quota"), E.KEY_MODEL),
    "qwen words": (400, coded("data_inspection_failed", "Input data may contain inappropriate content."), E.CONTENT),
    "qwen words, old": (400, coded("DataInspectionFailed", "Input data may contain inappropriate content."), E.CONTENT),
    "qwen long": (400, coded("InvalidParameter", "Range of input length should be [1, 30720]"), E.CONTEXT),
    "qwen stream": (400, coded("invalid_parameter_error", "This model only support stream mode"), E.REQUEST),
    "qwen busy": (503, coded("ModelServingError", "Too many requests. Your requests are being throttled due to system capacity"), E.TRANSIENT),
    # Mistral
    "mistral key": (401, flat(detail="Unauthorized"), E.KEY),
    "mistral key, new": (401, flat(message="Unauthorized", request_id="x"), E.KEY),
    "mistral rate": (429, flat(object="error", message="Rate limit exceeded", type="rate_limited", param=None, code="1300"), E.RATE),
    "mistral tier": (429, flat(object="error", message="Service tier capacity exceeded for this model.", type="invalid_request_error", code=None), E.RATE),
    "mistral model": (400, flat(object="error", message="Invalid model: foo", type="invalid_model", param=None, code="1500"), E.MODEL),
    "mistral extra": (422, flat(detail=[{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]), E.REQUEST),
    # Together, xAI
    "together paid": (402, openai("You have reached your monthly limit", "credit_limit"), E.KEY),
    "together long": (403, openai("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097.", "invalid_request_error"), E.CONTEXT),
    "together busy": (503, openai("The server is overloaded", "service_unavailable"), E.TRANSIENT),
    "xai spent": (403, flat(code="The caller does not have permission", error="Your team 0a1b has either used all available credits or reached its monthly spending limit."), E.KEY),
    "xai spent, 429": (429, flat(code="Some resource has been exhausted", error="Your team 0a1b has either used all available credits or reached its monthly spending limit."), E.KEY),
    "xai new": (403, flat(code="x", error="Your newly created team doesn't have any credits or licenses yet."), E.KEY),
    "xai key": (400, flat(code="Client specified an invalid argument", error="Incorrect API key provided: xa***56."), E.KEY),
    "xai model": (404, flat(code="x", error="The model x does not exist or your team 0a1b does not have access"), E.MODEL),
    # local servers
    "ollama": (404, openai('model "x" not found, try pulling it first', "api_error"), E.MODEL),
    "ollama native": (404, flat(error="model 'x' not found, try pulling it first"), E.MODEL),
    "ollama cloud": (429, flat(error="you (user) have reached your session usage limit"), E.RATE),
    "lm studio": (400, openai("Model not found", "invalid_request_error", "model_not_found", "model"), E.MODEL),
    "lm studio long": (400, flat(error="Trying to keep the first 5000 tokens when context overflows. However, the model is loaded with 4096"), E.CONTEXT),
    "vllm long": (400, flat(object="error", message="This model's maximum context length is 16384 tokens. However, you requested 122946 tokens", type="BadRequestError", param=None, code=400), E.CONTEXT),
    "vllm model": (404, flat(error={"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}), E.MODEL),
    "vllm wrong path": (404, flat(detail="Not Found"), E.CHANNEL),
    # no vendor in particular
    "402 page": (402, b"pay", E.KEY),
    "404 page": (404, b"<html>404</html>", E.CHANNEL),
    "403 page": (403, b"<html>Access denied by the firewall</html>", E.CHANNEL),
    "405": (405, flat(detail="Method Not Allowed"), E.CHANNEL),
    "400 page": (400, b"Bad Request", E.CHANNEL),
    "302": (302, b"", E.CHANNEL),
    "408": (408, b"", E.TRANSIENT),
    "425": (425, b"", E.TRANSIENT),
    "502 page": (502, b"<html>Bad Gateway</html>", E.TRANSIENT),
    "504 page": (504, b"<html>Gateway Timeout</html>", E.TRANSIENT),
    "520": (520, b"error code: 520", E.TRANSIENT),
    "524": (524, b"error code: 524", E.TRANSIENT),
    "429 page": (429, b"slow down", E.RATE),
    "empty object": (400, b"{}", E.REQUEST),
    "a number": (500, b"7", E.TRANSIENT),
    "an empty list": (400, b"[]", E.REQUEST),
    "error is null": (500, flat(error=None), E.TRANSIENT),
}  # fmt: skip

OPENROUTER_TABLE: dict[str, tuple[int, dict[str, object], ErrorClass]] = {
    "credits": (402, {"code": 402, "message": "Insufficient credits."}, E.KEY),
    "in flight": (402, {"code": 402, "message": "x", "metadata": {"error_type": "in_flight_budget_exhausted"}}, E.RATE),
    "key": (401, {"code": 401, "message": "No auth", "metadata": {"error_type": "authentication"}}, E.KEY),
    "moderated": (403, {"code": 403, "message": "Input flagged", "metadata": {"reasons": ["x"], "flagged_input": "y"}}, E.CONTENT),
    "denied": (403, {"code": 403, "message": "No", "metadata": {"error_type": "permission_denied"}}, E.KEY_MODEL),
    "context": (400, {"code": 400, "message": "too long", "metadata": {"error_type": "context_length_exceeded"}}, E.CONTEXT),
    "prompt": (400, {"code": 400, "message": "bad", "metadata": {"error_type": "invalid_prompt"}}, E.REQUEST),
    "refusal": (400, {"code": 400, "message": "no", "metadata": {"error_type": "refusal"}}, E.CONTENT),
    "no endpoints": (404, {"code": 404, "message": "No endpoints found for x.", "availability": {"code": "no_endpoints"}}, E.MODEL),
    "unknown": (400, {"code": 400, "message": "x is not a valid model ID", "availability": {"code": "model_not_found"}}, E.MODEL),
    "region": (403, {"code": 403, "message": "x", "availability": {"code": "region_restricted"}}, E.CHANNEL),
    "capacity": (429, {"code": 429, "message": "x", "availability": {"code": "capacity_exhausted", "retry_after": 12}}, E.RATE),
    "provider": (502, {"code": 502, "message": "Provider returned error", "metadata": {"error_type": "provider_unavailable"}}, E.TRANSIENT),
    "overloaded": (503, {"code": 503, "message": "x", "metadata": {"error_type": "provider_overloaded"}}, E.TRANSIENT),
    "rate": (429, {"code": 429, "message": "Rate limit exceeded: free-models-per-min."}, E.RATE),
}  # fmt: skip
