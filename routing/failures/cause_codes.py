"""Codes, types, reasons and exception names by which providers say what went wrong, each with the one thing that it means.

Limits: in lower case. Sources: the providers' error pages and their users' reports; a new provider is a new name.
"""

from collections.abc import Mapping
from typing import Final

from routing.failures.cause import Cause


def _names(rows: Mapping[Cause, str]) -> dict[str, Cause]:
    return {name: cause for cause, names in rows.items() for name in names.split()}


CODES: Final = _names(
    {
        Cause.CREDENTIALS: """
            invalid_api_key api_key_invalid api_key_expired api_key_not_found invalidapikey incorrect_api_key_error
            authentication_error authenticationerror invalid_authentication invalid_authentication_error unauthenticated
            unrecognizedclientexception invalidsignatureexception expiredtokenexception incompletesignature
            account_deactivated account_suspended access_terminated organization_restricted organization_disabled
            invalid_organization mismatched_organization mismatched_project ip_not_authorized consumer_suspended consumer_invalid
            """,
        Cause.EXHAUSTED: """
            insufficient_quota insufficient_credits insufficient_balance insufficientbalance insufficient_funds
            insufficient_user_quota exceeded_current_quota_error credit_balance_exhausted prepaid_credits_exhausted credit_limit
            credit_limit_exceeded billing_hard_limit_reached billing_not_active billing_error billing_limit_exceeded
            billing_disabled payment_required budget_exceeded quota_exceeded quotaexceeded servicequotaexceededexception
            monthly_limit_exceeded
            organization_spend_limit_exceeded project_spend_limit_exceeded organization_usage_limit_exceeded
            enforced_spend_limit_reached spend_limit_exceeded usage_limit_reached usage_limit_exceeded blocked_api_access
            arrearage accountoverdueerror accountoverdue allocationquota.freetieronly
            """,
        Cause.FORBIDDEN: """
            unsupported_country_region_territory region_restricted accessdeniedexception accessdenied failed_precondition
            api_key_service_blocked api_key_http_referrer_blocked api_key_ip_address_blocked service_disabled missing_scope
            insufficient_permissions modelnotopen
            """,
        Cause.MODEL_UNKNOWN: """
            model_not_found modelnotfound no_such_model unknown_model invalid_model model_not_exist model_not_available
            model_not_supported model_deprecated model_decommissioned model_unavailable_upstream model_terms_required
            deploymentnotfound resourcenotfoundexception invalidendpointormodel.notfound no_endpoints
            """,
        Cause.OVERLOADED: """
            overloaded_error engine_overloaded engine_overloaded_error serveroverloaded provider_overloaded slow_down
            queue_exceeded resource_busy nocapacity capacity_exceeded capacity_exhausted service_tier_capacity_exceeded
            modelnotreadyexception serviceunavailableexception service_unavailable temporarily_unavailable
            """,
        Cause.RATE_LIMITED: """
            throttlingexception throttling throttling.ratequota throttling.allocationquota toomanyrequestsexception
            rate_limit_reached_error limit_requests limit_tokens
            """,
        Cause.TIMED_OUT: "modeltimeoutexception deadline_exceeded timeout_error",
        Cause.UNAVAILABLE: """
            server_error internal_server_error internal_error internal api_error provider_unavailable internalserverexception
            modelerrorexception modelstreamerrorexception
            """,
        Cause.TOO_LONG: """
            context_length_exceeded context_window_exceeded context_length_error exceed_context_size_error input_too_long
            prompt_too_long token_limit_exceeded model_max_prompt_tokens_exceeded
            """,
        Cause.TOO_LARGE: "request_too_large payload_too_large request_entity_too_large image_too_large",
        Cause.UNSUPPORTED: """
            unsupported_parameter unsupported_value unknown_parameter unsupported_content_type unsupported_image_format
            max_tokens_exceeded invalid_encrypted_content thinking_signature_invalid
            """,
        Cause.MODERATED: """
            content_policy_violation contentpolicyviolation image_content_policy_violation content_filter contentfilter
            content_filtered content_moderation content_blocked moderation moderation_blocked flagged_input invalid_prompt
            responsibleaipolicyviolation data_inspection_failed datainspectionfailed sensitivecontentdetected
            inputtextsensitivecontentdetected outputtextsensitivecontentdetected safety_violation cyber_policy refusal
            """,
    }
)
"""Codes, types, reasons and exception names that mean one thing, in lower case."""

KINDS: Final = _names(
    {
        Cause.RATE_LIMITED: "rate_limit_exceeded rate_limit_error too_many_requests resource_exhausted tokens requests",
        Cause.FORBIDDEN: "permission_error permission_denied permission_denied_error",
        Cause.MODEL_UNKNOWN: "not_found_error not_found",
        Cause.OVERLOADED: "unavailable",
        Cause.INVALID: "invalid_request_error invalid_argument bad_request validation_error validationexception",
    }
)
"""Types so general that words go before them; asked only where there is no status, inside a 200."""
