#!/usr/bin/env python3
"""Asks libbitcoinkernel whether finished transactions are valid: a JSON list of {"transaction", "prevouts"} on standard input.

Prints how many it accepted; exits with 1 when it refuses one. Runs in the environment of scripts/python-environment consensus.
"""

import json
import sys

import pbk
from pbk.script import PrecomputedTransactionData, ScriptPubkey, ScriptVerificationFlags


def refusals(spend):
    transaction = pbk.Transaction(bytes.fromhex(spend["transaction"]))
    scripts = [ScriptPubkey(bytes.fromhex(prevout["script_pubkey"])) for prevout in spend["prevouts"]]
    outputs = [pbk.TransactionOutput(script, prevout["amount"]) for script, prevout in zip(scripts, spend["prevouts"])]
    precomputed = PrecomputedTransactionData(transaction, outputs)
    for index, (script, prevout) in enumerate(zip(scripts, spend["prevouts"])):
        if not script.verify(prevout["amount"], transaction, precomputed, index, ScriptVerificationFlags.ALL):
            yield index


spends = json.load(sys.stdin)
refused = [(number, index) for number, spend in enumerate(spends) for index in refusals(spend)]
for number, index in refused:
    print(f"transaction {number}, input {index} is refused: {spends[number]['transaction']}")
print(f"{len(spends) - len({number for number, _ in refused})} of {len(spends)} transactions accepted")
sys.exit(bool(refused))
