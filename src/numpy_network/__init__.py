"""A neural network from scratch, in NumPy alone. Read layers.py first: the chain rule, with shapes, for one layer.

Then activations.py (layers without weights), losses.py (where the error begins), optimizer.py (what is done with a
gradient) and neuralnet.py (the loop that joins them). docs/backpropagation.md walks one batch through with numbers.

Files, classes and methods bear the names of the lecture "Training neural networks". Where its slides are mistaken or
leave a choice, the docstring says what is done here and why. In all of them E is the loss, X a layer's input, Y its
output; dE/dX has the shape of X. Errors (gradients) point uphill; the optimizer alone turns round and walks down.
"""
