# SPDX-License-Identifier: Apache-2.0
"""Videos and folders of pictures taken through the line of faces to captures. Needs `bitlens[camera]`."""
