"""Names of files that all file systems take."""

import hashlib


def shortened(name: str, most: int) -> str:
    """A name of at most so many bytes in UTF-8; of a longer one the beginning and a hash of the whole."""
    content = name.encode("utf-8", "surrogatepass")
    if len(content) <= most:
        return name
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{content[: most - len(digest) - 1].decode('utf-8', 'ignore')}-{digest}"
