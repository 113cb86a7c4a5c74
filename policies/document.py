"""docs/policies.md, written from the code: `make docs`."""

# ruff: noqa: E501 - prose in Markdown

from policies.explain import explain, fields, overview
from policies.rules import RULES

INTRODUCTION = """\
# Policies

<!-- Written from the code by `make docs`; change the rules' own texts in policies/ instead. -->

Stages measure, policies judge. A policy is a pure function of evidence: it reads no file, asks nobody, and says the
same of the same record tomorrow. `policies:` in pipeline.yaml names what applies: a pack (`baseline`, `production`),
a file, a list of rules, or a pack with changes:

```yaml
policies:
  extends: production
  without:
    - {id: base_image, reason: "our base comes from scratch"}
  exceptions:
    - {id: CVE-2020-14343, package: PyYAML, reason: only our own files are loaded, owner: anna, expires: 2027-01-31}
  vex: [vex/openssl.openvex.json]
  rules:
    - rule: performance
      replaces: performance
      maximum_p99_ms: 80
    - rule: image
      level: warn
      maximum_size: 4GiB
```

- **`level: enforce`** stops the run (exit code 3) before the next stage; **`warn`** only says so.
- **`extends`** takes over a pack, by its name or as a file relative to this one. Rules are added. `replaces: ID` puts a
  rule in the place of one of its entries, as a whole; `without:` leaves one out, for a reason. An entry's id is its
  `id:`, else the name of its rule. A pack that comes back to itself is an error.
- **`exceptions`** and **`vex`** of a pack hold for all its rules about vulnerabilities. An exception holds through its
  day; after it the finding is refused again, and says since when. One that covers nothing is reported. VEX documents are OpenVEX or
  CycloneDX: `not_affected` with a justification and `fixed` count, for the image's digest or a package in it.
- **Packs of your own** are files, or come with an installed package: an entry point of the group
  `model_image_pipeline.packs` names a package, and the pack `strict` is `strict.yaml` in it. A name that is taken is an
  error.
- **A refusal** says what was measured, the limit, file and line of the rule, what mends it, and how an exception is
  written.

| command | |
|---|---|
| `pipeline policy list [PACK]` | packs, or the rules of one and where each of them stands |
| `pipeline policy explain [RULE]` | what is written below |
| `pipeline policy test [FOLDER]` | runs the cases of a pack; [examples/policies](../examples/policies) has some |
| `pipeline judge RUN --policies PACK` | judges a recorded run again: what was found is of its day, ages are of today |

A file of cases (`test_*.yaml`, `*_test.yaml`) names a pack, and what it shall make of some evidence:

```yaml
policies: baseline               # a pack, or a file relative to this one
cases:
  - name: a critical vulnerability with a fix is refused
    evidence:                    # laid over evidence that passes; kinds and fields are those of an expression
      scan: {vulnerabilities: [{id: CVE-2024-1, package: openssl, fixed_version: "3.1", severity: CRITICAL}]}
    expect: refused              # passed, warned or refused
    by: [{rule: vulnerabilities, message: CVE-2024-1}]   # who has to say so; default: anybody
```

Instead of evidence, or below it, a case takes `record:` (a run's record.json) and `skipped: {scan: no network}`; `now:` is
the time at which it is judged.

Every rule takes `level`, `id` and `replaces` besides its own options.
"""
FIELDS = """\
## What an expression may name

Texts are compared with `==`, `in`, `startsWith`, `contains` and `matches`; lists are searched with
`scan.vulnerabilities.exists(v, v.severity == 'CRITICAL')`, `all`, `filter`, `size`. A timestamp less another is a
duration: `now - scan.scanned_at > duration('48h')`. A value that may be missing is asked for with `has(…)` first: to
name one that is missing is an error, and what cannot be evaluated is refused.
"""


def document() -> str:
    """Return the whole page."""
    sections = "\n".join(explain(name) for name in RULES if name != "any_of")
    return f"{INTRODUCTION}\n{overview()}\n\n{sections}\n{FIELDS}\n{fields()}"
