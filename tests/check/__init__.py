"""Recorded histories of clients and what decides whether they are linearizable.

    history.py    operations, recording, JSON lines
    models.py     what each call does to a key: values, counters, queues
    linear.py     the search for an order (Wing and Gong, Lowe), key by key
    witness.py    the same question by the log indexes in the answers, fast enough for any history
    random_history.py   histories that are right, and ways to spoil them

    PYTHONPATH=tests /usr/bin/python3 -m check history.jsonl     judges a recorded history again"""
