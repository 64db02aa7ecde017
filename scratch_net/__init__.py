"""A network of dense layers in NumPy, to learn backpropagation from. Read in this order:

- `network`: the training step in five lines, and the walk back through the layers;
- `layers`: what one layer computes, and the three products that carry the gradient through it;
- `activations`, `losses`: each function beside its derivative;
- `regularizers`, `optimizers`, `initializers`, `metrics`: what goes around it;
- `constants`, `side_by_side`: how numbers get the type that Keras gives them, and how weights lie in memory;
- `per_example`: the same layer with loops for matrix products;
- `finite_differences`: the gradient without any calculus, to check the other with.

The remaining files serve comparisons with Keras: `adapter`, `record` and `replay` let the network be examined,
`conventions` and `defects` make it differ on purpose.
"""
