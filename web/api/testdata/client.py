"""Calls every operation that reads, and the one that asks for a report, by the client that was generated from the
document. Arguments: the folder of the client's package, the address of the API, a token, the id of a conversation."""
import importlib
import inspect
import pkgutil
import sys

folder, url, token, conversation = sys.argv[1:]
sys.path.insert(0, folder)
api = importlib.import_module("generated.api")
client = importlib.import_module("generated.client").AuthenticatedClient(base_url=url, token=token)
models = importlib.import_module("generated.models")

answered = {}


def call(module, **args):
    name = module.__name__.rsplit(".", 1)[1]
    response = module.sync_detailed(client=client, **args)
    if response.status_code >= 300 or response.parsed is None:
        sys.exit(f"{name}: {response.status_code} {response.content[:300]} parsed as {response.parsed!r}")
    answered[name] = response.parsed
    return response.parsed


modules = {}
for package in pkgutil.iter_modules(api.__path__):
    for module in pkgutil.iter_modules([f"{folder}/generated/api/{package.name}"]):
        modules[module.name] = importlib.import_module(f"generated.api.{package.name}.{module.name}")
report = call(modules["create_report"], body=models.ReportRequest.from_dict({"type": "usage", "days": 7}))
for name, module in sorted(modules.items()):
    if name.startswith(("send_", "receive_", "create_")) or name in ("download_report", "get_event_schema"):
        continue
    args = {}
    for arg in inspect.signature(module.sync_detailed).parameters.values():
        if arg.name == "id" and name == "get_conversation":
            args["id"] = conversation
        elif arg.name == "report_id":
            args["report_id"] = report.id
        elif arg.name == "measure":
            args["measure"] = next(m for m in arg.annotation if m.value == "csat") if not isinstance(arg.annotation, str) \
                else importlib.import_module("generated.models.get_figures_measure").GetFiguresMeasure("csat")
    call(module, **args)
usage = answered["get_usage"]
assert isinstance(usage.total_conversations, int) and usage.period.timezone == "UTC", usage
assert answered["get_usage"].channels[0].channel, usage
print(len(answered), "operations")
