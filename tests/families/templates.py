"""Chat templates of the forms in which the families' own are, written for the tests."""

_PARTS = (
    "{%- macro parts(content) -%}{%- if content is string -%}{{ content }}{%- else -%}{%- for part in content -%}"
    "{%- if part.type == 'image' -%}IMAGE{%- elif part.type == 'video' -%}VIDEO"
    "{%- else -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}"
)


def _with_media(text: str, image: str, video: str = "") -> str:
    return (_PARTS + text).replace("IMAGE", image).replace("VIDEO", video)


_TURNS = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message.role + '\\n' + parts(message.content) + '<|im_end|>\\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}"
)
_QWEN_MEDIA = ("<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>")

QWEN = _with_media(_TURNS + "{%- endif -%}", *_QWEN_MEDIA)
THINKING = _with_media(_TURNS + "{{ '<think>\\n' }}{%- endif -%}", *_QWEN_MEDIA)
"""It opens a think block, whatever it is asked."""
HYBRID = _with_media(
    _TURNS + "{%- if enable_thinking is defined and enable_thinking is false -%}{{ '<think>\\n\\n</think>\\n\\n' }}"
    "{%- else -%}{{ '<think>\\nLet me see.\\n' }}{%- endif -%}{%- endif -%}",
    *_QWEN_MEDIA,
)
"""It opens one unless it is told not to."""
INTERNVL = _with_media(_TURNS + "{%- endif -%}", "{{ '<IMG_CONTEXT>\\n' }}", "{{ '<video>\\n' }}")

GEMMA = _with_media(
    "{{ bos_token }}{%- set first = parts(messages[0].content) + '\\n\\n' if messages[0].role == 'system' else '' -%}"
    "{%- for message in messages if message.role != 'system' -%}"
    "{{ '<start_of_turn>' + message.role + '\\n' + (first if loop.first else '') + parts(message.content) }}"
    "{{ '<end_of_turn>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}",
    "<start_of_image>",
)
PRINTS_ITS_LIST = _with_media(
    "{%- if messages[0].role == 'system' -%}"
    "{{ '<|im_start|>system\\n' }}{{ messages[0].content }}{{ '<|im_end|>\\n' }}{%- set messages = messages[1:] -%}"
    "{%- endif -%}" + _TURNS + "{%- endif -%}",
    *_QWEN_MEDIA,
)
"""It goes through the parts of what the user says, but prints the system message as it comes."""
NO_SYSTEM = _with_media(
    "{{ bos_token }}{%- for message in messages -%}{%- if message.role == 'system' -%}"
    "{{ raise_exception('there is no role system') }}{%- endif -%}"
    "{{ '<start_of_turn>' + message.role + '\\n' + parts(message.content) + '<end_of_turn>\\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}",
    "<start_of_image>",
)

MISTRAL = _with_media(
    "{{ bos_token }}{%- for message in messages -%}{%- if message.role == 'system' -%}"
    "{{ '[SYSTEM_PROMPT]' + parts(message.content) + '[/SYSTEM_PROMPT]' }}{%- elif message.role == 'user' -%}"
    "{{ '[INST]' + parts(message.content) + '[/INST]' }}"
    "{%- else -%}{{ parts(message.content) + eos_token }}{%- endif -%}"
    "{%- endfor -%}",
    "[IMG]",
)

GEMMA4 = _with_media(
    "{{ bos_token }}{%- if messages[0].role == 'system' -%}"
    "{{ '<|turn>system\\n' }}{%- if enable_thinking is defined and enable_thinking -%}{{ '<|think|>' }}{%- endif -%}"
    "{{ messages[0].content | trim }}{{ '<turn|>\\n' }}{%- set messages = messages[1:] -%}{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|turn>' + message.role + '\\n' + parts(message.content) + '<turn|>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|turn>model\\n' }}"
    "{%- if not enable_thinking | default(false) -%}{{ '<|channel>thought\\n<channel|>' }}{%- endif -%}{%- endif -%}",
    "{{ '\\n\\n<|image|>\\n\\n' }}",
    "{{ '\\n\\n<|video|>\\n\\n' }}",
)
"""It prints the system message as it comes, and a block of reasoning that is empty."""
LLAMA4 = _with_media(
    "{{ bos_token }}{%- for message in messages -%}"
    "{{ '<|header_start|>' + message.role + '<|header_end|>\\n\\n' + parts(message.content) + '<|eot|>' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}"
    "{{ '<|header_start|>assistant<|header_end|>\\n\\n' }}{%- endif -%}",
    "<|image|>",
)
GLM = _with_media(
    "[gMASK]<sop>{{ '\\n' }}{%- for message in messages -%}"
    "{{ '<|' + message.role + '|>\\n' + parts(message.content) }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}",
    "<|begin_of_image|><|image|><|end_of_image|>",
    "<|begin_of_video|><|video|><|end_of_video|>",
)
LLAVA = _with_media(
    "{%- for message in messages -%}{%- if message.role == 'system' -%}{{ parts(message.content) + ' ' }}"
    "{%- else -%}{{ message.role.upper() + ': ' + parts(message.content) + ' ' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}",
    "{{ '<image>\\n' }}",
)
ONEVISION = _with_media(_TURNS + "{%- endif -%}", "{{ '<image>\\n' }}", "{{ '<video>\\n' }}")
SMOLVLM = _with_media(
    "{{ bos_token }}{%- for message in messages -%}"
    "{{ message.role | capitalize }}{{ ': ' + parts(message.content) + '<end_of_utterance>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}",
    "<image>",
)
HYBRID_BARE = HYBRID.replace("<|vision_start|>", "").replace("<|vision_end|>", "")
"""With nothing around media, which the processor adds."""
