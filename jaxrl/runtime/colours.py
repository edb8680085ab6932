"""Colours of all pictures: Okabe and Ito's, which the colour-blind can tell apart too."""

BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7"),
    *("#56B4E9", "#D55E00", "#F0E442"),
)
PAPER, INK = "#ffffff", "#222222"
