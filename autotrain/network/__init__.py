"""K multi-layer perceptrons computed as one: shapes, weights, forward and backward pass.

`config.py` states what one configuration means: the sizes of its network (`layout.py`), its scales,
its dropout. `grouping.py` sorts K configurations, the *slots* of a fleet, into groups of neighbours
that share a technique. `FusedNetwork` (`network.py`) is built from these groups and holds no
weights. The weights of each network are one flat row; `layout.py` stacks K rows of different
networks into one padded `[K, P]`, and `binding.py` cuts it into the tensors of every layer.

A pass goes through the input layer (`input_layer.py`), then layer by layer through product, batch
norm and activation (`layerwise.py`) and dropout (`dropping.py`). `kernels.py` has faster versions
of activations. `noise.py` draws initial weights and dropout masks from each slot's own random
numbers, so the result of a slot does not depend on the others.

`metric_formulas.py` scores outputs, `flags.py` interprets a diagnosis, `tensors.py` names the
tensors of a bundle. Training (`autotrain.training`) adds losses, optimizers and epochs; the
predictor uses the forward pass alone.
"""
