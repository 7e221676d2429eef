"""The Stickers page: a sticker is learned, stuck on pictures, printed, and held to the camera."""
