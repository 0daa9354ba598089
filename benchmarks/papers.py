"""Write tuning/papers/CLAIMS.md: what the papers claim, and what stands here of it.

python benchmarks/papers.py
"""

from pathlib import Path

from keras_actrec._files import write_block
from keras_actrec.reproduction.claims import claims_page

PAGE = Path(__file__).parents[1] / "tuning/papers/CLAIMS.md"

if __name__ == "__main__":
    write_block(PAGE, "claims", claims_page())
    print(f"wrote {PAGE}")
