"""Native kernels for training on a CPU in bf16: registered torch operators, each with a plain twin that it is held against.

Every public function takes the plain way by itself where the kernels do not apply: another dtype or device, tensors spread
over processes, no compiler. `library.py` builds them.
"""
