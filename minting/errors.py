"""What can go wrong with content and with minting; each sentence says what to do."""

from core.errors import (
    AppError,
    ConflictError,
    InvalidError,
    NotFoundError,
    SettingsError,
    TransitionError,
    UnavailableError,
)
from core.types import AssetId, BatchId

# --- images ---------------------------------------------------------------------------------


class ImageInvalidError(InvalidError):
    """An uploaded image cannot be used; base of the situations below."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, fields={"image": sentence})


class ImageFileTooLargeError(ImageInvalidError):
    """The file has more bytes than a visual may have."""

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(
            f"The file has {size / 1_000_000:.1f} MB; a visual has at most {limit // 1_000_000} MB."
            " Export it smaller and upload it again."
        )
        self.size = size
        self.limit = limit


class ImageKindError(ImageInvalidError):
    """The bytes are no image of the kinds we accept, whatever the file is called."""

    def __init__(self) -> None:
        super().__init__(
            "This is not a PNG, JPEG, WebP or GIF image. Export the visual as one of these and "
            "upload it again."
        )


class ImageBrokenError(ImageInvalidError):
    """The image begins well and then ends early or makes no sense."""

    def __init__(self) -> None:
        super().__init__(
            "The image is cut off or damaged. Open it in an image editor, export it again and "
            "upload the new file."
        )


class ImagePixelsError(ImageInvalidError):
    """The image has more pixels than we decode; a small file can claim billions."""

    def __init__(self, *, width: int, height: int, limit: int) -> None:
        super().__init__(
            f"The image has {width:,} × {height:,} pixels; a visual has at most "
            f"{limit // 1_000_000} million. Scale it down and upload it again."
        )
        self.width = width
        self.height = height


class ImageNotSquareError(ImageInvalidError):
    """Width and height differ by more than the tolerance."""

    def __init__(self, *, width: int, height: int) -> None:
        super().__init__(
            f"The image has {width:,} × {height:,} pixels; a visual is square. Crop it to "
            f"{min(width, height):,} × {min(width, height):,} and upload it again."
        )
        self.width = width
        self.height = height


class ImageTooSmallError(ImageInvalidError):
    """The image has fewer pixels a side than a visual needs."""

    def __init__(self, *, width: int, height: int, least: int) -> None:
        super().__init__(
            f"The image has {width:,} × {height:,} pixels; a visual has at least {least} a side. "
            "Upload a larger original."
        )
        self.width = width
        self.height = height


class ImageTransparentError(ImageInvalidError):
    """Some pixels let the background through."""

    def __init__(self) -> None:
        super().__init__(
            "The image has transparent parts; a visual has an opaque background. Put a coloured "
            "background behind it and upload it again."
        )


class ImageFramesError(ImageInvalidError):
    """The animation has more frames than we read."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"The animation has more than {limit} frames. Shorten it, or upload one frame of it."
        )
        self.limit = limit


class ImageTooSlowError(ImageInvalidError):
    """Decoding used up the time or the memory that one image may use."""

    def __init__(self) -> None:
        super().__init__(
            "Reading the image took too long or too much memory. Export it again as a plain PNG or "
            "JPEG and upload the new file."
        )


# --- documents ------------------------------------------------------------------------------


class MetadataInvalidError(InvalidError):
    """A value cannot stand in a metadata document."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"The metadata field {field}: {sentence}", fields={field: sentence})


# --- content --------------------------------------------------------------------------------


class ContentNotFoundError(NotFoundError):
    """The store has nothing of this name, or the name is no CID."""

    def __init__(self, cid: str) -> None:
        super().__init__(
            "There is no content at this address. Check that the link was copied whole."
        )
        self.cid = cid


class ContentCorruptError(AppError):
    """Stored bytes no longer match their name."""

    def __init__(self, cid: str) -> None:
        super().__init__(
            f"The stored content {cid} was changed on disk and is not served. Restore it from a "
            "backup, or upload the same file again."
        )
        self.cid = cid


class IpfsUnavailableError(UnavailableError):
    """The IPFS node does not answer, or answers with an error."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"The IPFS node at {url} did not do its part: {reason}. Check IPFS_API_URL and the "
            "node; the content is safe here and can be pinned again."
        )
        self.url = url
        self.reason = reason


class IpfsMismatchError(SettingsError):
    """The IPFS node gave or named other bytes than ours; it must not be trusted with a token."""

    def __init__(self, url: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"The IPFS node at {url} answers {found} where {expected} is right. Use a node that "
            "supports CIDv1 with raw leaves, or remove IPFS_API_URL."
        )
        self.url = url
        self.expected = expected
        self.found = found


# --- passes, assets and drops ---------------------------------------------------------------


class PassContractMissingError(ConflictError):
    """The merchant has no live pass contract, the registry every drop needs."""

    def __init__(self) -> None:
        super().__init__(
            "The membership pass is not on the chain yet. Wait until it is active, then try again."
        )


class AssetNotFoundError(NotFoundError):
    """This merchant has no such digital asset."""

    def __init__(self, asset_id: AssetId) -> None:
        super().__init__("There is no such digital asset. Go back to the list.")
        self.asset_id = asset_id


class AssetNotDraftError(TransitionError):
    """The asset was published before."""

    def __init__(self, title: str) -> None:
        super().__init__(f"“{title}” is published already; its contract cannot be made again.")


class AssetTransitionError(TransitionError):
    """The asset's state refuses the action."""

    def __init__(self, title: str, state: str, action: str) -> None:
        super().__init__(f"“{title}” is {state}, so it cannot be {action}.")


class NotRevocableError(ConflictError):
    """Holders of the asset were promised that nobody takes it back."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"“{title}” was published without the right to take tokens back; nobody can add it."
        )


class NothingToRevokeError(ConflictError):
    """None of the tokens is owned and left alone."""

    def __init__(self) -> None:
        super().__init__(
            "None of these tokens can be taken back: they are on their way, or being taken back "
            "already. Reload the page and choose again."
        )


class AssetInUseError(ConflictError):
    """A campaign that is not over gives the asset."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"“{title}” is still given by a campaign. End or cancel that first, then archive it."
        )

    @property
    def code(self) -> str:
        """One name for perks and digital assets."""
        return "reward_in_use"


class BatchNotFoundError(NotFoundError):
    """This merchant has no such batch."""

    def __init__(self, batch_id: BatchId) -> None:
        super().__init__("There is no such batch. Go back to the operations.")
        self.batch_id = batch_id


class RecipientsMovedError(ConflictError):
    """Who can be planned changed while it was."""

    def __init__(self, title: str) -> None:
        super().__init__(
            f"Passes became active while a drop of “{title}” was planned. It is planned again by "
            "itself."
        )


class SupplyExhaustedError(ConflictError):
    """The edition has fewer tokens left than asked for."""

    def __init__(self, title: str, *, wanted: int, left: int) -> None:
        super().__init__(
            f"“{title}” has {left} tokens left but {wanted} are needed. Choose a smaller audience "
            "or another asset."
        )
        self.wanted = wanted
        self.left = left
