/** What a deployment calls its own in the account: by its group's name. */
export interface Names {
  readonly group: string;
  readonly policy: string;
}

export const namesOf = (group: string): Names => ({ group, policy: `${group}-device` });

/** What AWS IoT takes in the value of an attribute; everything else becomes an underscore there. */
const FOREIGN = /[^a-zA-Z0-9_.,@/:#-]/g;

/** Attributes of a thing, for people who look there: the database is what counts. Two of the three that it may have. */
export const attributesOf = ({ model, serialNumber }: { model: string | null; serialNumber: string | null }) =>
  Object.fromEntries(
    Object.entries({ model, serial: serialNumber }).flatMap(([name, value]) =>
      value === null ? [] : [[name, value.replaceAll(FOREIGN, '_')]],
    ),
  );

/** `arn:<partition>:iot:<region>:<account>:` of what a group's ARN begins with. */
export const arnPrefixOf = (groupArn: string): string => groupArn.slice(0, groupArn.indexOf('thinggroup/'));
