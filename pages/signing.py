"""Signing in, where a server asks for it (``sign_in`` of ``[public]`` in its settings), by Streamlit's own OpenID
Connect: the providers stand in the table ``[auth]`` of Streamlit's secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.auth_util import is_authlib_installed

from nettrim_core.configuration import Public
from nettrim_core.plain import for_markdown

REMEDY = "correct it, or switch public.sign_in off"


def check() -> None:
    """Raise ValueError, before anybody comes, where signing in is asked for and cannot be done."""
    if not Public.configured().sign_in:
        return
    if not is_authlib_installed():
        raise ValueError(f"public.sign_in is on and Authlib is missing: install nettrim-studio[auth]; or {REMEDY}")
    lacking = [name for name in ("redirect_uri", "cookie_secret") if not _auth().get(name)]
    if lacking:
        raise ValueError(f"public.sign_in is on and [auth] in Streamlit's secrets lacks {', '.join(lacking)}: {REMEDY}")


def allowed() -> bool:
    """May this visitor see the pages?"""
    return not Public.configured().sign_in or account() is not None


def ask() -> None:
    """How to sign in, in place of a page."""
    st.title("Net-Trim studio")
    st.markdown("This server shows its pages to those who have signed in.")
    for name in [key for key, value in _auth().items() if isinstance(value, Mapping)] or [""]:
        st.button(
            f"Sign in with {for_markdown(name)}" if name else "Sign in", key=f"sign_in_{name}", type="primary",
            on_click=st.login, args=(name,) if name else (),
        )  # fmt: skip


def tell() -> None:
    """Who is signed in, and a way out."""
    if Public.configured().sign_in:
        name = str(st.user.get("email") or st.user.get("name") or "an account without a name")
        with st.container(horizontal=True, vertical_alignment="center", key="signed_in"):
            st.markdown(f"Signed in as {for_markdown(name)}.", width="content")
            st.button("Sign out", key="sign_out", type="tertiary", on_click=st.logout)


def account() -> str | None:
    """Who has signed in, told apart from everybody else: a hash of the provider and of what it calls them."""
    user: Mapping[str, Any] = st.user.to_dict()
    issuer, subject = user.get("iss"), user.get("sub")
    if user.get("is_logged_in") is not True or not issuer or not subject:
        return None
    return hashlib.blake2b(f"{len(str(issuer))} {issuer} {subject}".encode(), digest_size=16).hexdigest()


def _auth() -> Mapping[str, Any]:
    try:
        return st.secrets.get("auth", {})
    except FileNotFoundError:  # no secrets at all
        return {}
