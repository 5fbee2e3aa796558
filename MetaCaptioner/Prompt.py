"""The prompts, to read and to change from Python: `system_prompt_map_dict[domain][agent]`."""

from MetaCaptioner.agents.prompts import system_prompt_map_dict as system_prompt_map_dict
