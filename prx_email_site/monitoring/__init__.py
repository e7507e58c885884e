"""What machines and operators are told of a running site.

health_checks      /health/live/ and /health/ready/, for load balancers
metrics            /metrics, for Prometheus; metrics_collector reads them from the database
system_status      what `manage.py status` says
request_id         the name of a request on its log lines and its answer
"""
