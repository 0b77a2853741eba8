"""The golden list of REST routes: each has a test without credentials and one with the wrong ones.

A route that is added to the edges is added here (docs/tasks/adding-a-scenario.md); `{…}` parts may not exist: authority is
decided before anything is looked up.
"""

DPS = [
    ("GET", "/enrollments/x"),
    ("PUT", "/enrollments/x"),
    ("DELETE", "/enrollments/x"),
    ("POST", "/enrollments"),
    ("POST", "/enrollments/query"),
    ("POST", "/enrollments/x/attestationmechanism"),
    ("GET", "/enrollmentGroups/x"),
    ("PUT", "/enrollmentGroups/x"),
    ("DELETE", "/enrollmentGroups/x"),
    ("POST", "/enrollmentGroups/query"),
    ("POST", "/enrollmentGroups/x/attestationmechanism"),
    ("GET", "/registrations/x"),
    ("DELETE", "/registrations/x"),
    ("POST", "/registrations/x/query"),
]

HUB = [
    ("GET", "/devices"),
    ("POST", "/devices/query"),
    ("GET", "/devices/x"),
    ("PUT", "/devices/x"),
    ("DELETE", "/devices/x"),
    ("GET", "/twins/x"),
    ("PATCH", "/twins/x"),
    ("PUT", "/twins/x"),
    ("GET", "/statistics/devices"),
    ("GET", "/statistics/service"),
]

TWINS = [
    ("GET", "/models"),
    ("POST", "/models"),
    ("GET", "/models/dtmi:a;1"),
    ("PATCH", "/models/dtmi:a;1"),
    ("DELETE", "/models/dtmi:a;1"),
    ("GET", "/digitaltwins/x"),
    ("PUT", "/digitaltwins/x"),
    ("PATCH", "/digitaltwins/x"),
    ("DELETE", "/digitaltwins/x"),
    ("POST", "/digitaltwins/x/telemetry"),
    ("GET", "/digitaltwins/x/relationships"),
    ("GET", "/digitaltwins/x/incomingrelationships"),
    ("GET", "/digitaltwins/x/relationships/y"),
    ("PUT", "/digitaltwins/x/relationships/y"),
    ("PATCH", "/digitaltwins/x/relationships/y"),
    ("DELETE", "/digitaltwins/x/relationships/y"),
    ("GET", "/digitaltwins/x/components/y"),
    ("PATCH", "/digitaltwins/x/components/y"),
    ("POST", "/digitaltwins/x/components/y/telemetry"),
    ("POST", "/query"),
    ("GET", "/eventroutes"),
    ("GET", "/eventroutes/x"),
    ("PUT", "/eventroutes/x"),
    ("DELETE", "/eventroutes/x"),
]

# The device API of DPS: {scope} is the ID scope.
DEVICE = [
    ("PUT", "/{scope}/registrations/x/register"),
    ("POST", "/{scope}/registrations/x"),
    ("GET", "/{scope}/registrations/x/operations/y"),
]

FUNCTIONS = [("GET", "/api/DpsAdtAllocationFunc"), ("POST", "/api/DpsAdtAllocationFunc")]

ADMIN = [
    ("GET", "/admin/connections"),
    ("GET", "/admin/health"),
    ("GET", "/admin/resources"),
    ("GET", "/admin/resources/hub"),
    ("POST", "/admin/resources/hub"),
    ("GET", "/admin/resources/hub/hub1"),
    ("PATCH", "/admin/resources/hub/hub1"),
    ("DELETE", "/admin/resources/hub/hub1"),
    ("POST", "/admin/resources/hub/hub1/regenerate-key"),
    ("PUT", "/admin/resources/dps/dps1/linked-hubs/x"),
    ("DELETE", "/admin/resources/dps/dps1/linked-hubs/x"),
    ("PUT", "/admin/resources/hub/hub1/endpoints/x"),
    ("DELETE", "/admin/resources/hub/hub1/endpoints/x"),
    ("PUT", "/admin/resources/hub/hub1/routes/x"),
    ("DELETE", "/admin/resources/hub/hub1/routes/x"),
    ("GET", "/admin/resources/hub/hub1/policies"),
    ("GET", "/admin/resources/hub/hub1/policies/iothubowner"),
    ("PUT", "/admin/resources/hub/hub1/policies/x"),
    ("DELETE", "/admin/resources/hub/hub1/policies/service"),
    ("POST", "/admin/resources/hub/hub1/policies/iothubowner/regenerate-key"),
    ("GET", "/admin/resources/events/events1/event-hubs"),
    ("GET", "/admin/resources/events/events1/event-hubs/deviceevents"),
    ("GET", "/admin/resources/events/events1/event-hubs/deviceevents/consumer-groups"),
    ("PUT", "/admin/resources/events/events1/event-hubs/deviceevents/consumer-groups/x"),
    ("DELETE", "/admin/resources/events/events1/event-hubs/deviceevents/consumer-groups/x"),
    ("GET", "/admin/resources/events/events1/event-hubs/deviceevents/policies"),
    ("GET", "/admin/resources/events/events1/event-hubs/deviceevents/policies/x"),
    ("PUT", "/admin/resources/events/events1/event-hubs/deviceevents/policies/x"),
    ("DELETE", "/admin/resources/events/events1/event-hubs/deviceevents/policies/x"),
    ("POST", "/admin/resources/events/events1/event-hubs/deviceevents/policies/x/regenerate-key"),
    ("PUT", "/admin/resources/events/events1/event-hubs/x"),
    ("DELETE", "/admin/resources/events/events1/event-hubs/x"),
    ("GET", "/admin/resources/functions/functions1/settings"),
    ("PUT", "/admin/resources/functions/functions1/settings/x"),
    ("DELETE", "/admin/resources/functions/functions1/settings/x"),
    ("GET", "/admin/resources/functions/functions1/dead-letters"),
    ("GET", "/admin/resources/functions/functions1/dead-letters/1"),
    ("DELETE", "/admin/resources/functions/functions1/dead-letters/1"),
    ("POST", "/admin/resources/functions/functions1/dead-letters/1/replay"),
    ("GET", "/admin/groups"),
    ("GET", "/admin/groups/default"),
    ("DELETE", "/admin/groups/default"),
    ("GET", "/admin/nothing"),
]
