"""How the demo's data and its small model are made; nothing here is needed to caption.

Modules in the order of use: `scene` (what a drawing shows, in words), `drawing/` (one module per domain), `make_data`
(the demo datasets), `tasks` (drawing -> questions and answers), `tokenizer`, `architecture`, `batches`, `train`.
"""
