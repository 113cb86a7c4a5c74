import ast
from pathlib import Path

ast.parse(Path("serve.py").read_text())
