"""Compares two metrics.jsonl: exits 0 when they agree, else says where they first differ.

compare_metrics.py A B --bitwise          everything but times, rates and memory is the same
compare_metrics.py A B --tolerance 1e-12  losses and gradient norms agree relatively, steps and tokens exactly
"""
import argparse
import json
import sys

# Depend on the machine and the moment.
TIMES = {"dt", "dtf", "dtb", "dto", "sps", "sps_per_rank", "tps", "tps_per_rank", "mfu", "tflops_per_rank",
         "mem_peak_bytes", "mem_host_peak_bytes", "mem_bytes"}
EXACT = ("step", "tokens", "lr")
CLOSE = ("loss", "grad_norm", "val_loss", "train_loss")


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def differences(a, b, tolerance):
    """Yields the keys in which two lines differ, with both values."""
    if tolerance is None:
        for key in sorted((a.keys() | b.keys()) - TIMES):
            # repr shows every bit of a double.
            if repr(a.get(key)) != repr(b.get(key)):
                yield key, a.get(key), b.get(key)
        return
    for key in EXACT:
        if a[key] != b[key]:
            yield key, a[key], b[key]
    for key in CLOSE:
        if (key in a) != (key in b):
            yield key, a.get(key), b.get(key)
        elif key in a and not abs(a[key] - b[key]) <= tolerance * abs(a[key]):
            yield key, a[key], b[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a")
    parser.add_argument("b")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--bitwise", action="store_true")
    how.add_argument("--tolerance", type=float)
    options = parser.parse_args()
    a, b = read(options.a), read(options.b)
    if not a or len(a) != len(b):
        sys.exit(f"{options.a} has {len(a)} steps, {options.b} has {len(b)}")
    for line_a, line_b in zip(a, b):
        for key, left, right in differences(line_a, line_b, options.tolerance):
            sys.exit(f"step {line_a['step']}: {key} is {left!r} in {options.a}, {right!r} in {options.b}")


if __name__ == "__main__":
    main()
