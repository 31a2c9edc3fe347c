"""A window of WebKitGTK that WebDriver drives: run by Debian's python3, which has GTK's bindings, never imported.

WebKit's own MiniBrowser keeps its console to itself while it is driven and is at least 447 pixels wide.
Arguments: a folder for what websites store, the file that console and requests are printed to, and "dark" or "light".
"""

import os
import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2

NOWHERE, HERE = "http://127.0.0.1:9", "127.0.0.1"

folder, printed, scheme = sys.argv[1:4]
output = os.open(printed, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.dup2(output, 1)
os.dup2(output, 2)

preferences = Gtk.Settings.get_default()
preferences.set_property("gtk-application-prefer-dark-theme", scheme == "dark")
preferences.set_property("gtk-enable-animations", scheme != "dark")
manager = WebKit2.WebsiteDataManager(base_data_directory=folder, base_cache_directory=folder)
manager.set_network_proxy_settings(WebKit2.NetworkProxyMode.CUSTOM, WebKit2.NetworkProxySettings.new(NOWHERE, [HERE]))
context = WebKit2.WebContext(website_data_manager=manager)
context.set_automation_allowed(True)


def watch(_view: WebKit2.WebView, resource: WebKit2.WebResource, request: WebKit2.URIRequest) -> None:
    """The console says nothing of a request that is refused: print each one, and its status once there is an answer."""
    print("REQUEST", request.get_uri(), flush=True)
    resource.connect(
        "notify::response",
        lambda *_: print("STATUS", resource.get_response().get_status_code(), resource.get_uri(), flush=True),
    )


def create_view(_session: WebKit2.AutomationSession) -> WebKit2.WebView:
    settings = WebKit2.Settings(enable_write_console_messages_to_stdout=True)
    view = WebKit2.WebView(web_context=context, is_controlled_by_automation=True, settings=settings)
    view.connect("resource-load-started", watch)
    window = Gtk.Window()
    window.set_decorated(False)
    window.add(view)
    window.show_all()
    return view


def start(_context: WebKit2.WebContext, session: WebKit2.AutomationSession) -> None:
    session.connect("create-web-view", create_view)


context.connect("automation-started", start)
Gtk.main()
