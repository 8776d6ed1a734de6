"""What is told of a photo or a folder of photos without an error being raised."""

from __future__ import annotations


class PhotoWarning(Warning):
    """A photo that was used although something is wrong with it, or files of a folder that were left out.

    The message is one sentence that names the photo or the folder.  It is a warning and no error; the
    command line prints it on stderr.
    """
