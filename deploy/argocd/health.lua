-- Health of an OrderRequest for Argo CD, after kstatus: `obj` in, `{status, message}` out.
-- https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#custom-health-checks
local hs = {}
local status = obj.status
if status == nil or status.conditions == nil or (status.observedGeneration or 0) < (obj.metadata.generation or 0) then
  hs.status = "Progressing"
  hs.message = "Waiting for the controller to take it up"
  return hs
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local phase = status.phase or "Pending"
local stalled = conditions["Stalled"]
if stalled ~= nil and stalled.status == "True" then
  hs.status = "Degraded"
  hs.message = stalled.message or stalled.reason or "Stalled"
elseif phase == "Failed" then
  hs.status = "Degraded"
  hs.message = (conditions["Ready"] or {}).message or "The order failed"
elseif phase == "Finalised" or phase == "Closed" or phase == "Expired" or phase == "Cancelled" then
  hs.status = "Healthy"
  hs.message = "The order is over: " .. phase
elseif conditions["Ready"] ~= nil and conditions["Ready"].status == "False" then
  hs.status = "Progressing"
  hs.message = conditions["Ready"].message or phase
elseif phase == "Paused" then
  hs.status = "Suspended"
  hs.message = "The order takes no proposals"
elseif phase == "Deciding" then
  hs.status = "Healthy"
  hs.message = "The order waits for a decision until " .. (status.decideBy or "its expiry")
elseif phase == "Open" then
  hs.status = "Healthy"
  hs.message = "The order takes proposals"
else
  hs.status = "Progressing"
  hs.message = phase
end
return hs
