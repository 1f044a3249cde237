"""What Orthant exports, GPT2LMHeadModel computes with; what transformers saves, Orthant imports.

usage: export_test.py ORTHANT HF_LOGITS        (run by run.sh, which says what it needs)
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

ORTHANT, LOGITS = sys.argv[1:3]
TOLERANCE = 1e-5
transformers.utils.logging.disable_progress_bar()
failures = 0

RUN = """
run: {{name: hf, dir: {dir}, seed: 5}}
model: {{family: gpt2, layers: 3, heads: 4, hidden: 32, context: 24, bias: {bias}, dropout: 0.1,
        tie_embeddings: {tied}, activation: {activation}, norm_eps: 2.0e-5}}
parallel: {{data: {data}, tensor: {tensor}, pipeline: {pipeline}, zero: {zero}}}
train: {{steps: 6, global_batch: 8, micro_batch: 2, dtype: {dtype}}}
optimizer: {{lr: 1.0e-2, warmup: 2}}
data: {{path: {data_path}}}
checkpoint: {{every: 6}}
"""


def orthant(*words, expect=0):
    done = subprocess.run([ORTHANT, *map(str, words)], capture_output=True, text=True, timeout=300)
    if done.returncode != expect:
        raise RuntimeError(f"orthant {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def own_logits(checkpoint, tokens, dtype="fp32"):
    done = subprocess.run([LOGITS, str(checkpoint), dtype, *map(str, tokens)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return torch.tensor(json.loads(done.stdout), dtype=torch.float64)


def their_logits(folder, tokens):
    model, report = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(kind):
            raise RuntimeError(f"transformers has {kind}: {report[kind]}")
    model.eval()
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].to(torch.float64)


def identical(a, b, *more):
    orthant("checkpoint", "diff", a, b, "--exit-code", *more)


def check(name, passed, detail=""):
    global failures
    print(f"{'ok' if passed else 'FAIL'} {name}{' ' if detail else ''}{detail}", flush=True)
    failures += 0 if passed else 1


def compare(name, ours, theirs):
    worst = (ours - theirs).abs().max().item()
    scale = max(1.0, theirs.abs().max().item())
    check(name, worst <= TOLERANCE * scale, f"(largest difference {worst:.1e}, largest logit {scale:.2f})")


def prepare(work):
    text = "the king said to his brother that no man of wit would sail before dawn and the lords agreed.\n" * 60
    (work / "story.txt").write_text(text)
    orthant("data", "prepare", "--input", work / "story.txt", "--output", work / "data")


def trained(work, name, **settings):
    run = work / name
    defaults = dict(bias="true", tied="true", activation="gelu", dtype="fp32", data=1, tensor=1, pipeline=1, zero=0)
    path = work / f"{name}.yaml"
    path.write_text(RUN.format(dir=run, data_path=work / "data", **{**defaults, **settings}))
    orthant("train", path)
    return run


def export_and_back(work, name, tokens, **settings):
    """A trained model: exported, computed with, imported; and saved again by transformers, imported."""
    run = trained(work, name, **settings)
    out, back, again = work / f"{name}_hf", work / f"{name}_back", work / f"{name}_again"
    orthant("checkpoint", "verify", run)
    orthant("checkpoint", "export", run, "--format", "hf", "--output", out)
    compare(f"{name}: logits", own_logits(run, tokens), their_logits(out, tokens))
    orthant("checkpoint", "import", out, "--format", "hf", "--output", back)
    kinds = "parameter,master" if settings.get("dtype") == "bf16" else "parameter"
    identical(run, back, "--kinds", kinds)
    check(f"{name}: imports back bit for bit", True)
    GPT2LMHeadModel.from_pretrained(out).save_pretrained(again)
    orthant("checkpoint", "import", again, "--format", "hf", "--output", work / f"{name}_twice")
    identical(back, work / f"{name}_twice")
    check(f"{name}: the same when transformers has saved it", True)
    return run


def sharded(work, run, tokens):
    out, back = work / "sharded_hf", work / "sharded_back"
    orthant("checkpoint", "export", run, "--format", "hf", "--output", out, "--shard-size", "40KB")
    files = sorted(path.name for path in out.iterdir())
    check("sharded: several files and an index", "model.safetensors.index.json" in files and len(files) > 3)
    compare("sharded: logits", own_logits(run, tokens), their_logits(out, tokens))
    orthant("checkpoint", "import", out, "--format", "hf", "--output", back)
    identical(run, back, "--kinds", "parameter")
    check("sharded: imports back bit for bit", True)


def own_names(work, run):
    out, back = work / "plain", work / "plain_back"
    orthant("checkpoint", "export", run, "--format", "safetensors", "--output", out)
    orthant("checkpoint", "import", out, "--format", "safetensors", "--output", back)
    identical(run, back, "--kinds", "parameter")
    check("safetensors: imports back bit for bit", True)


def from_transformers(work, tokens):
    """Models that transformers made and saved, biases and norms drawn too."""
    torch.manual_seed(3)
    for name, kind, config in [
        ("gpt2", GPT2LMHeadModel, dict()),
        ("gpt2_base", GPT2Model, dict()),  # names without "transformer."
        ("gpt2_untied", GPT2LMHeadModel, dict(tie_word_embeddings=False, activation_function="gelu")),
    ]:
        sizes = dict(vocab_size=61, n_positions=32, n_embd=48, n_layer=2, n_head=3, bos_token_id=None, eos_token_id=None)
        model = kind(GPT2Config(**sizes, **config)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        folder, checkpoint = work / f"from_{name}", work / f"from_{name}_checkpoint"
        model.save_pretrained(folder)
        orthant("checkpoint", "import", folder, "--format", "hf", "--output", checkpoint)
        orthant("checkpoint", "verify", checkpoint)
        with torch.no_grad():
            if kind is GPT2Model:
                theirs = model(torch.tensor([tokens])).last_hidden_state[0] @ model.wte.weight.T
            else:
                theirs = model(torch.tensor([tokens])).logits[0]
        compare(f"from transformers, {name}: logits", own_logits(checkpoint, tokens), theirs.to(torch.float64))


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        prepare(work)
        tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4]
        run = export_and_back(work, "biases", tokens, activation="gelu_tanh", data=2, tensor=2, zero=1)
        export_and_back(work, "no_biases", tokens, bias="false", pipeline=3, zero=0)
        export_and_back(work, "untied", tokens, tied="false", tensor=2, pipeline=2)
        export_and_back(work, "bf16", tokens, dtype="bf16", data=4, zero=3)
        sharded(work, run, tokens)
        own_names(work, run)
        from_transformers(work, tokens)
    print(f"{failures} failed" if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
