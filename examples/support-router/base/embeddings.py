"""A head start for the embeddings: words that keep the same company begin as neighbours.

Minutes of pre-training are too few for a rare word to find its place among the others; counting is quicker. This is
the factorisation that word2vec does implicitly (Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix
Factorization"): positive pointwise mutual information of tokens within a window, reduced by a truncated SVD.
"""

import torch

WINDOW = 8
"""Tokens to each side that count as company."""

SMOOTHING = 0.75
"""Exponent on context frequencies, which keeps rare contexts from dominating (Levy, Goldberg and Dagan 2015)."""


def neighbourly_embeddings(rows: torch.Tensor, *, vocab_size: int, hidden_size: int, std: float) -> torch.Tensor:
    """Embed every token by the tokens it is found next to.

    Args:
        rows: token ids, shape (rows, block).
        vocab_size: number of tokens.
        hidden_size: width of an embedding.
        std: standard deviation of the result's values.

    Returns:
        Shape (vocab_size, hidden_size). Tokens that never occur get a small random vector.
    """
    counts = _cooccurrences(rows, vocab_size)
    context = counts.sum(0) ** SMOOTHING
    expected = counts.sum(1, keepdim=True) * (context / context.sum())
    information = torch.where(counts > 0, torch.log(counts / expected.clamp(min=1e-12)), 0.0).clamp(min=0)
    left, values, _ = torch.svd_lowrank(information, q=hidden_size, niter=4)
    embedded = left * values.sqrt()
    embedded += 1e-3 * embedded.std() * torch.randn_like(embedded)
    embedded /= embedded.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return embedded * std * hidden_size**0.5


def _cooccurrences(rows: torch.Tensor, vocab_size: int) -> torch.Tensor:
    counts = torch.zeros(vocab_size * vocab_size)
    for distance in range(1, WINDOW + 1):
        pairs = rows[:, :-distance] * vocab_size + rows[:, distance:]
        counts += torch.bincount(pairs.flatten(), minlength=vocab_size * vocab_size)
    one_way = counts.view(vocab_size, vocab_size)
    return one_way + one_way.T
