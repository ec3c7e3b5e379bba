#!/usr/bin/env python3
"""WebKitGTK through a proxy, set as wry does for a webview; prints the page's title.

webkit.py PROXY URL   TLS errors are errors: the system's authorities are what counts.
"""
import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import GLib, Gtk, WebKit2  # noqa: E402

proxy, url = sys.argv[1:]
store = WebKit2.WebsiteDataManager.new_ephemeral()
store.set_network_proxy_settings(
    WebKit2.NetworkProxyMode.CUSTOM, WebKit2.NetworkProxySettings.new(proxy, None)
)
view = WebKit2.WebView.new_with_context(WebKit2.WebContext.new_with_website_data_manager(store))
window = Gtk.Window()
window.add(view)
window.show_all()
outcome = ["no end in time"]


def end(text):
    outcome[0] = text
    Gtk.main_quit()


def failed(_view, _event, _uri, error):
    end(f"failed: {error.message}")
    return True


def changed(_view, event):
    if event == WebKit2.LoadEvent.FINISHED and view.get_title():
        end(view.get_title())


def refused(_view, _uri, _certificate, errors):
    end(f"certificate: {errors}")
    return True


view.connect("load-failed", failed)
view.connect("load-failed-with-tls-errors", refused)
view.connect("load-changed", changed)
view.connect("notify::title", lambda *_: view.get_title() and end(view.get_title()))
GLib.timeout_add_seconds(20, Gtk.main_quit)
view.load_uri(url)
Gtk.main()
print(outcome[0])
