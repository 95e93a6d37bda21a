"""Which tests are about which of the sixty reports that users of other translators wrote.

Rule: each number has a test, and each test that is named is there; of several one is about the request, others about the answer.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_HERE = "tests/routing/translate"
_REQUESTS, _REPORTS = f"{_HERE}/test_requests.py", f"{_HERE}/test_reports.py"
_HEAD = "tests/routing/surfaces/test_messages_request.py"
_E2E = "tests/e2e/test_surfaces.py"
REPORTS: dict[int, tuple[str, ...]] = {
    # What a request becomes.
    1: (
        f"{_REQUESTS}::test_late_system_prompt_is_moved_and_reported",
        f"{_HERE}/test_members.py::test_members_of_other_requests",
    ),
    2: (f"{_REQUESTS}::test_tool_ids_are_made_acceptable_on_both_sides",),
    3: (f"{_REQUESTS}::test_ids_for_mistral_are_nine_letters_and_digits",),
    4: (f"{_REQUESTS}::test_parallel_results_are_one_turn",),
    5: (f"{_REQUESTS}::test_text_behind_a_call_is_said_before_it",),
    6: (f"{_REQUESTS}::test_result_without_its_call_is_refused", f"{_REQUESTS}::test_demand_that_messages_cannot_meet"),
    7: (f"{_REQUESTS}::test_signed_thoughts_come_first_and_in_order",),
    8: (f"{_REQUESTS}::test_signed_thoughts_come_first_and_in_order", f"{_HERE}/test_streams.py::test_messages_to_chat_and_back"),
    9: (f"{_REQUESTS}::test_signed_thoughts_come_first_and_in_order",),
    10: (f"{_REQUESTS}::test_reasoning_content_goes_back_to_who_wants_it",),
    11: (f"{_HERE}/test_chat_on_responses.py::test_encrypted_thoughts_come_back_before_what_they_led_to",),
    12: (f"{_HERE}/test_gemini.py::test_signatures_come_back_through_other_formats",),
    13: (f"{_HERE}/test_gemini.py::test_schemas_go_as_they_came",),
    14: (f"{_REQUESTS}::test_demand_that_messages_cannot_meet",),
    15: (
        f"{_HERE}/test_truth.py::test_rule_says_what_the_pair_does",
        f"{_HERE}/test_truth.py::test_rules_of_two_pairs_say_what_both_do",
        f"{_HERE}/test_gemini.py::test_url_with_a_known_ending_is_told",
        f"{_HERE}/test_gemini.py::test_demand_that_gemini_cannot_meet",
    ),
    16: (
        f"{_REQUESTS}::test_agent_history_in_chat",
        f"{_HERE}/test_gemini_callers.py::test_picture_that_a_tool_answers_is_shown",
    ),
    17: (f"{_REQUESTS}::test_tools_of_messages_in_chat",),
    18: (
        f"{_REQUESTS}::test_tools_of_messages_in_chat",
        f"{_REPORTS}::test_calls_come_back_as_what_they_were",
        f"{_HERE}/test_gemini_callers.py::test_name_of_a_tool_comes_back_as_it_was",
    ),
    19: (
        f"{_HERE}/test_converse.py::test_demand_that_converse_cannot_meet",
        f"{_HERE}/test_converse.py::test_empty_result_of_a_tool_is_refused",
    ),
    20: (f"{_HEAD}::test_member_and_the_beta_that_it_needs_pass_together", f"{_REQUESTS}::test_what_claude_code_sends_beside"),
    21: (
        "tests/edge/providers/test_auth.py::test_beta_that_a_caller_names_reaches_those_who_know_it",
        "tests/edge/providers/test_auth.py::test_auth_of_vertex_has_a_token_and_claude_in_its_path",
    ),
    22: (f"{_HEAD}::test_version_is_the_callers_or_the_known_one", f"{_E2E}::test_chat_on_a_messages_provider"),
    23: (f"{_REQUESTS}::test_model_without_sampling",),
    24: (f"{_REQUESTS}::test_demand_of_responses_that_chat_cannot_meet",),
    25: (
        f"{_HEAD}::test_member_and_the_beta_that_it_needs_pass_together",
        f"{_HEAD}::test_long_description_of_a_tool_passes",
        f"{_REQUESTS}::test_what_claude_code_sends_beside",
    ),
    26: (f"{_REQUESTS}::test_output_cap_is_always_sent",),
    # Answers and streams.
    27: (f"{_REPORTS}::test_parallel_calls_stay_apart", f"{_HERE}/test_gemini.py::test_stop_with_calls_is_tool_calls"),
    28: (f"{_REPORTS}::test_parallel_calls_stay_apart", f"{_REPORTS}::test_every_delta_belongs_to_what_is_open"),
    29: (f"{_REPORTS}::test_every_delta_belongs_to_what_is_open", f"{_REPORTS}::test_end_of_a_response_is_whole"),
    30: (f"{_REPORTS}::test_end_of_a_response_is_whole", f"{_HERE}/test_sdks.py::test_openai_reads_a_stream_of_responses"),
    31: (f"{_REPORTS}::test_end_of_a_response_is_whole",),
    32: (f"{_REPORTS}::test_end_of_a_response_is_whole",),
    33: (f"{_REPORTS}::test_end_without_done", f"{_REPORTS}::test_end_of_a_response_is_whole"),
    34: (f"{_REPORTS}::test_text_and_a_call_end_as_a_call",),
    35: (f"{_HERE}/test_gemini.py::test_stop_with_calls_is_tool_calls",),
    36: (f"{_HERE}/test_gemini.py::test_part_with_a_text_and_a_call_says_both",),
    37: (f"{_REPORTS}::test_parallel_calls_stay_apart", f"{_HERE}/test_streams.py::test_stream_cut_at_every_position"),
    38: (f"{_REPORTS}::test_signature_stands_on_its_thought", f"{_HERE}/test_streams.py::test_messages_to_chat_and_back"),
    39: (f"{_REPORTS}::test_finish_of_calls_without_any",),
    40: (f"{_REPORTS}::test_provider_that_begins_again",),
    41: (f"{_REPORTS}::test_arguments_that_are_no_json_pass",),
    # Usage and cost.
    42: (f"{_REPORTS}::test_counts_of_a_messages_stream",),
    43: (
        f"{_REPORTS}::test_counts_are_the_same_on_every_surface",
        "tests/routing/dialects/test_chat_usage.py::test_claim_costs_the_same_in_every_format",
    ),
    44: (f"{_REPORTS}::test_counts_are_the_same_on_every_surface", f"{_REPORTS}::test_counts_of_a_messages_stream"),
    45: (
        f"{_REPORTS}::test_tier_that_was_served_is_known",
        "tests/edge/relay/test_targets.py::test_tier_that_the_answer_names_is_charged",
    ),
    46: (
        f"{_REPORTS}::test_tier_that_a_provider_merely_echoes_is_not_believed",
        "tests/edge/relay/test_targets.py::test_tier_that_nobody_asked_for_is_not_charged_beyond_the_hold",
    ),
    47: (
        f"{_REPORTS}::test_cache_writes_by_their_life",
        "tests/edge/relay/test_targets.py::test_cache_that_lives_long_is_charged_as_such",
    ),
    48: (f"{_REPORTS}::test_cache_writes_by_their_life",),
    49: (
        f"{_REPORTS}::test_searches_are_counted",
        "tests/edge/relay/test_targets.py::test_search_that_was_asked_for_is_charged",
    ),
    50: ("tests/edge/relay/test_surfaces.py::test_sound_that_was_heard_is_charged",),
    51: (
        "tests/routing/metering/test_claims.py::test_claim_of_parts_is_inside_of_its_wholes",
        "tests/routing/metering/test_meter.py::test_meter_usage_of_cached_tokens_costs_less",
    ),
    52: (f"{_E2E}::test_count_tokens_of_whoever_counts", f"{_E2E}::test_gemini_counts_and_lists"),
    53: (
        f"{_REQUESTS}::test_first_line_of_the_system_is_not_touched",
        f"{_E2E}::test_messages_pass_to_a_provider_that_speaks_them",
    ),
    # Errors and ends.
    54: (
        f"{_REPORTS}::test_error_inside_a_stream",
        f"{_HERE}/test_errors.py::test_error_within_an_answer",
        f"{_HERE}/test_gemini_callers.py::test_broken_answer_is_said_in_googles_words",
        f"{_HERE}/test_cohere_callers.py::test_answer_that_broke",
        "tests/edge/relay/test_translation.py::test_translated_stream_that_is_cut_off_fails_in_its_own_words",
    ),
    55: (f"{_REPORTS}::test_error_inside_a_stream", "tests/routing/surfaces/test_errors.py::test_refusal_of_a_surface"),
    56: (f"{_REPORTS}::test_messages_end_behind_the_stop_reason", f"{_REPORTS}::test_end_without_done"),
    57: (f"{_HERE}/test_chat_on_responses.py::test_error_of_a_response",),
    # State and security.
    58: (f"{_E2E}::test_responses_refuse_what_is_kept_elsewhere", f"{_REQUESTS}::test_demand_of_responses_that_chat_cannot_meet"),
    59: (
        f"{_REQUESTS}::test_thoughts_of_others_are_reported",
        "tests/routing/request/test_signed.py::test_chat_stays_with_the_format_of_its_details",
        "tests/edge/relay/test_translation.py::test_signature_that_one_cannot_read_goes_to_the_next",
    ),
    # Clients.
    60: (f"{_E2E}::test_embeddings_in_every_encoding",),
}


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_report_has_a_test() -> None:
    """From the first to the sixtieth."""
    assert list(REPORTS) == list(range(1, 61))
    assert all(REPORTS.values())


@pytest.mark.parametrize("number", REPORTS)
def test_tests_of_a_report_are_there(number: int) -> None:
    """Under the name that stands here."""
    for name in REPORTS[number]:
        path, _, test = name.partition("::")
        assert test in names_in(path), name
